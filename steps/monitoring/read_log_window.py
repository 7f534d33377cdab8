"""The predictions that are looked at, with their labels."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from zenml import step

from accidents.bundle import load_bundle
from accidents.monitoring.dated_ahead import latest, notes_on
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.window import capped, log_window, of_a_wrong_clock
from steps.folder import Folder
from steps.support.prediction_store import opened_store


@step(enable_cache=False)  # the log grows
def read_log_window(
    bundle: Folder, policy: MonitorSettings, seed: int, between: list[str] | None = None
) -> Annotated[Folder, "window"]:
    """Take the log's last days, or its last so many predictions; of each caller at most its share.

    Of more than `policy.window.most` predictions a part is drawn, so that a look takes no longer than that.

    Parameters
    ----------
    between : the first and last moment of a window that was looked at before, ISO 8601, instead.
    """
    settings, model = policy.window, load_bundle(bundle.path)
    since: datetime | None
    if between is not None:
        since, until = map(datetime.fromisoformat, between)
        last = None
    else:
        until, last = datetime.now(UTC), settings.last
        since = None if last else until - timedelta(days=settings.days)
    folder = Folder.temporary("window-")
    # After a clock has moved back a little, what it has dated still counts; not so what is far ahead.
    end = until + timedelta(microseconds=1) if between is not None else latest(until)
    with opened_store() as store:
        drawing = store.log.draw(
            since, last, settings.most, model.stage, end, policy.per_caller, policy.min_rows
        )
        rows = (
            store.log.read(since, end, last, stage=model.stage)
            if drawing.all
            else store.log.read_drawn(drawing)
        )
        window = log_window(rows, model, since, until, drawing.drawn_of, drawing.of_callers)
        ahead = () if between is not None else notes_on(store.log.count_from(end, model.stage), end)
    window = replace(window, notes=(*window.notes, *ahead, *of_a_wrong_clock(model, until)))
    capped(window, policy, seed).save(folder.path)
    return folder
