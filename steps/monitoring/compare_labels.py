"""The outcomes that callers gave, against those of the year's files that are looked at."""

from typing import Annotated, Any

from zenml import step

from accidents.monitoring.label_check import compare_labels as compare
from accidents.monitoring.label_check import disagreements
from accidents.monitoring.window import Window
from steps.folder import Folder
from steps.support.prediction_store import opened_store


@step(enable_cache=False)  # labels come in all the time
def compare_labels(window: Folder) -> Annotated[dict[str, Any], "window_labels"]:
    """Of each caller, and `notes` about those that disagree."""
    frame = Window.load(window.path).frame
    labelled = frame[frame["severe"].notna()]
    published = dict(
        zip(labelled["accident_id"].astype(str), labelled["severe"].astype(bool).tolist(), strict=True)
    )
    with opened_store() as store:
        labels = compare(store.log.labels(), published)
    return {
        "callers": [of_caller.model_dump(mode="json") for of_caller in labels],
        "notes": disagreements(labels),
    }
