"""Data quality of the test part, and its drift against the training part, by the stack's data validator."""

import json
from typing import Annotated, Any

from zenml import step
from zenml.client import Client

from accidents.features import features_of
from steps.folder import Folder
from steps.support.rows import Rows, some_of

VALIDATED = 100_000  # rows of a part: of more, in partitions, so many are drawn; Evidently takes 1 KB a row


@step
def validate_data(
    train_rows: Rows, test_rows: Rows, stage: str, configured: dict[str, Any]
) -> Annotated[Folder, "data_reports"]:
    """Two pages and drift.json. Drift is told, not acted on: that later years differ is what is tested.

    How the validator is `configured` is a parameter so that a cached run validates again when it has changed.
    """
    # The pipeline has this step only where the stack has a validator; which one, the step need not know.
    validator: Any = Client().active_stack.data_validator
    columns = kinds_of_columns(stage) | {"target_columns": ["severe"]}
    tested, learnt = some_of(test_rows, VALIDATED), some_of(train_rows, VALIDATED)
    quality = validator.data_profiling(tested, **columns)
    drift = validator.data_validation(tested, learnt, **columns)
    folder = Folder.temporary("data-reports-")
    (folder / "data_quality.html").write_text(quality.html, encoding="utf-8")
    (folder / "data_drift.html").write_text(drift.html, encoding="utf-8")
    (folder / "drift.json").write_text(json.dumps(drift.to_dict(), indent=1), encoding="utf-8")
    return folder


def kinds_of_columns(stage: str) -> dict[str, list[str]]:
    """Return the features of a stage as our data validator wants them told."""
    features = features_of(stage)
    return {
        "numerical_columns": [feature.name for feature in features if feature.kind == "number"],
        "categorical_columns": [feature.name for feature in features if feature.kind != "number"],
    }
