"""Drift of what is scored against what the model was trained on, by the stack's data validator."""

import json
from typing import Annotated, Any

import pandas as pd
from zenml import step
from zenml.client import Client

from steps.data.validate_data import kinds_of_columns
from steps.folder import Folder


@step
def check_drift(
    features: pd.DataFrame, bundle: Folder, stage: str, configured: dict[str, Any]
) -> Annotated[Folder, "drift"]:
    """drift.json, and drift.html where there was anything to compare. Drift is told, not acted on.

    How the validator is `configured` is a parameter so that a cached run looks again when it has changed.
    """
    folder = Folder.temporary("drift-")
    if features.empty:
        checked: dict[str, Any] = {"verdict": "not comparable", "why": "No row could be scored."}
    else:
        # The pipeline has this step only where the stack has a validator; which one, the step need not know.
        validator: Any = Client().active_stack.data_validator
        reference = pd.read_parquet(bundle / "reference.parquet")
        drift = validator.data_validation(features, reference, **kinds_of_columns(stage))
        checked = drift.to_dict()
        (folder / "drift.html").write_text(drift.html, encoding="utf-8")
    (folder / "drift.json").write_text(json.dumps(checked, indent=1) + "\n", encoding="utf-8")
    return folder
