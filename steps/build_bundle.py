"""The candidate as a bundle: plain files with a manifest."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.bundle import write_bundle
from accidents.comparison import learnt_from
from accidents.model import Model
from accidents.reports.card import model_card
from accidents.results import Results
from accidents.settings import Params
from accidents.versioning import code_version
from steps import registry
from steps.folder import Folder

REFERENCE_ROWS = 20_000  # enough for drift tests by feature within a month, small enough to carry along
HOLDOUT_ROWS = 10_000


@step
def build_bundle(
    model: Folder,
    train_rows: pd.DataFrame,
    calibration_rows: pd.DataFrame,
    test_rows: pd.DataFrame,
    test_predictions: pd.DataFrame,
    split: dict[str, Any],
    results: dict[str, Any],
    params: Params,
    data_facts: dict[str, Any],
) -> Annotated[Folder, "bundle"]:
    """Put model, facts, reference and card together; the same inputs give the same bytes."""
    trained, judged = Model.load(model.path), Results.from_dict(results)
    sample = train_rows.sample(min(REFERENCE_ROWS, len(train_rows)), random_state=params.seed).sort_index()
    facts = {
        "name": registry.model_name(params.stage),
        "stage": params.stage,
        "threshold": judged.alerts.threshold,
        "budget": params.evaluation.budget,
        "bands": dict(params.evaluation.bands),
        "source": data_facts["source"],
        "synthetic": data_facts["synthetic"],
        "years": data_facts["years"],
        "split": split,
        "learnt_from": learnt_from(train_rows, calibration_rows),
        "data_version": data_facts["version"],
        "code_version": code_version(),
        "params": params.model_dump(mode="json"),
    }
    folder = Path(tempfile.mkdtemp(prefix="bundle-")) / "bundle"
    reference = sample.assign(p_severe=trained.predict_proba(sample))
    promised = test_rows[["year", "month", "severe"]].assign(p_severe=test_predictions["model"].to_numpy())
    holdout = promised.sample(min(HOLDOUT_ROWS, len(promised)), random_state=params.seed).sort_index()
    write_bundle(folder, trained, facts, reference, model_card(facts, judged), holdout)
    return Folder(folder)
