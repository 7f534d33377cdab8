"""What the cluster did for a step: Dask's performance report as a page, and where its dashboard is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from engine.cluster import client_of, dashboard_of
from engine.settings import DaskSettings

PAGE = "dask_report.html"


@contextmanager
def reported(settings: DaskSettings, keep: Callable[[Path, str], None]) -> Iterator[None]:
    """Record what the cluster does in the block, and give `keep` a folder with the page, and the dashboard.

    A block that fails, or a scheduler that was started anew meanwhile, leaves no page: what is wrong with
    the work is told, not what is wrong with its report.
    """
    from distributed import performance_report

    client = client_of(settings)
    dashboard = dashboard_of(client)
    with TemporaryDirectory(prefix="dask-report-") as folder:
        report = performance_report(filename=str(Path(folder) / PAGE), mode="inline")
        with client.as_current():
            report.__enter__()
        yield
        with suppress(Exception), client.as_current():
            report.__exit__(None, None, None)
        if (Path(folder) / PAGE).exists():
            keep(Path(folder), dashboard)
