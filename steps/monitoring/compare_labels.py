"""The outcomes that callers gave, against those of the year's files that are looked at."""

from typing import Annotated, Any

from zenml import step

from accidents.monitoring.database import opened_log
from accidents.monitoring.label_check import compare_labels as compare
from accidents.monitoring.label_check import told
from accidents.monitoring.window import Window
from accidents.predictions.tables import NoDatabaseError
from steps.folder import Folder


@step
def compare_labels(window: Folder) -> Annotated[dict[str, Any], "window_labels"]:
    """Of each caller, and `notes` about those that disagree; nothing where there is no log."""
    frame = Window.load(window.path).frame
    labelled = frame[frame["severe"].notna()]
    published = dict(
        zip(labelled["accident_id"].astype(str), labelled["severe"].astype(bool).tolist(), strict=True)
    )
    try:
        with opened_log() as log:
            labels = compare(log.labels(), published)
    except NoDatabaseError:
        labels = ()
    return {"callers": [one.model_dump(mode="json") for one in labels], "notes": told(labels)}
