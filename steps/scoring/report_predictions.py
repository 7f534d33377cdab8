"""Everything that batch scoring leaves behind, in one folder."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from zenml import log_metadata, step

from accidents.reports.prediction_files import UNCHECKED, summary, write_report
from accidents.scoring.batch import Intake
from steps.folder import Folder
from steps.support.references import VersionReference

BATCH = "batch"  # metadata that `run.py status` asks for


@step
def report_predictions(
    predictions: pd.DataFrame,
    features: pd.DataFrame,
    intake: Folder,
    bundle: Folder,
    version: VersionReference,
    n_bootstrap: int,
    raw_csv: bool,
    drift: Folder | None = None,
) -> tuple[Annotated[Folder, "inference_report"], Annotated[dict[str, Any], "figures"]]:
    """Predictions as Parquet and CSV, rows set aside, drift, report, and summary.json, also as a value."""
    taken = Intake.load(intake.path)
    folder = Folder.temporary("inference-")
    severe = features["severe"].to_numpy(dtype=np.float32)
    figures = summary(
        taken,
        predictions,
        severe,
        version.load(bundle),
        _drift(drift, folder.path),
        version.model_dump(),
        n_bootstrap,
    )
    write_report(folder.path, figures, taken, predictions, raw_csv)
    log_metadata({BATCH: {"input": str(figures["input"]), "verdict": str(figures["drift"]["verdict"])}})
    return folder, figures


def _drift(drift: Folder | None, folder: Path) -> dict[str, Any]:
    """Return what the drift check found; its files are copied."""
    if drift is None:
        why = "The active stack has no data validator."
        unchecked: dict[str, Any] = {"verdict": UNCHECKED, "why": why}
        (folder / "drift.json").write_text(json.dumps(unchecked, indent=1) + "\n", encoding="utf-8")
        return unchecked
    shutil.copytree(drift.path, folder, dirs_exist_ok=True)
    read: dict[str, Any] = json.loads((folder / "drift.json").read_text(encoding="utf-8"))
    return read
