"""The predictions that are looked at, with their labels."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from zenml import step

from accidents.bundle import load_bundle
from accidents.monitoring.database import opened_log
from accidents.monitoring.policy import WindowSettings
from accidents.monitoring.window import log_window
from steps.folder import Folder


@step
def read_log_window(bundle: Folder, settings: WindowSettings) -> Annotated[Folder, "window"]:
    """The log's last days, or its last so many predictions if the settings say so."""
    until = datetime.now(UTC)
    since = None if settings.last else until - timedelta(days=settings.days)
    folder = Path(tempfile.mkdtemp(prefix="window-"))
    with opened_log() as log:
        # Not `until`: after a clock has moved back, predictions "of the future" still count.
        rows = log.read(since=since, last=settings.last)
        log_window(rows, load_bundle(bundle.path), since, until).save(folder)
    return Folder(folder)
