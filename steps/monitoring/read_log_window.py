"""The predictions that are looked at, with their labels."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from zenml import step

from accidents.bundle import load_bundle
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.window import capped, log_window
from steps.folder import Folder
from steps.support.prediction_store import opened_store


@step
def read_log_window(bundle: Folder, policy: MonitorSettings, seed: int) -> Annotated[Folder, "window"]:
    """Take the log's last days, or its last so many predictions; of each caller at most its share."""
    settings = policy.window
    until = datetime.now(UTC)
    since = None if settings.last else until - timedelta(days=settings.days)
    folder = Folder.temporary("window-")
    with opened_store() as store:
        # Not `until`: after a clock has moved back, predictions "of the future" still count.
        rows = store.log.read(since=since, last=settings.last)
        window = log_window(rows, load_bundle(bundle.path), since, until)
    capped(window, policy, seed).save(folder.path)
    return folder
