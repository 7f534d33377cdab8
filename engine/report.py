"""What the cluster did for a step: Dask's performance report as a page, and where its dashboard is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from engine.cluster import client_of, dashboard_of
from engine.settings import DaskSettings

if TYPE_CHECKING:
    from distributed import Client, performance_report

PAGE = "dask_report.html"
PATIENCE = 30.0  # seconds for the page, for which each worker is asked
LOGGER = logging.getLogger(__name__)


@contextmanager
def reported(settings: DaskSettings, keep: Callable[[Path, str], None]) -> Iterator[None]:
    """Record what the cluster does in the block, and give `keep` a folder with the page, and the dashboard.

    A block that fails, a worker that hangs, or a scheduler that was started anew meanwhile, leaves no page:
    what is wrong with the work is told, not what is wrong with its report.
    """
    from distributed import performance_report

    client = client_of(settings)
    dashboard = dashboard_of(client)
    with TemporaryDirectory(prefix="dask-report-") as folder:
        report = performance_report(filename=str(Path(folder) / PAGE), mode="inline")
        with client.as_current():
            report.__enter__()
        yield
        with suppress(Exception):
            _write(client, report)
        if (Path(folder) / PAGE).exists():
            keep(Path(folder), dashboard)


def _write(client: Client, report: performance_report) -> None:
    """Write the page; say so if it is not made in time, as the scheduler waits for each worker for ever."""
    try:
        with client.as_current():
            client.sync(report.__aexit__, None, None, None, code="", callback_timeout=PATIENCE)
    except TimeoutError:
        LOGGER.warning(
            "There is no performance report of Dask: its workers did not answer within %g s.", PATIENCE
        )
