"""The predictions that are looked at, with their labels."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from zenml import step

from accidents.bundle import load_bundle
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.window import capped, log_window
from steps.folder import Folder
from steps.support.prediction_store import opened_store


@step(enable_cache=False)  # the log grows
def read_log_window(bundle: Folder, policy: MonitorSettings, seed: int) -> Annotated[Folder, "window"]:
    """Take the stage's last days, or last so many predictions; of each caller at most its share.

    Of more than `policy.window.most` predictions a part is drawn, so that a look takes no longer than that.
    """
    settings, model = policy.window, load_bundle(bundle.path)
    until = datetime.now(UTC)
    since = None if settings.last else until - timedelta(days=settings.days)
    folder = Folder.temporary("window-")
    with opened_store() as store:
        # Not `until`: after a clock has moved back, predictions "of the future" still count.
        drawing = store.log.draw(since, settings.last, settings.most, model.stage)
        rows = (
            store.log.read(since, last=settings.last, stage=model.stage)
            if drawing.all
            else store.log.read_drawn(drawing)
        )
        window = log_window(rows, model, since, until, drawing)
    capped(window, policy, seed).save(folder.path)
    return folder
