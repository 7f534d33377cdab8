"""The candidate as a bundle: plain files with a manifest."""

from typing import Annotated, Any

import numpy as np
import pandas as pd
from zenml import step

from accidents.bundle import write_bundle
from accidents.bundle.provenance import MadeFrom
from accidents.evaluation.metrics import EvaluationSettings
from accidents.evaluation.results import Results
from accidents.reports.card import model_card
from accidents.training.reference import latest_learnt, learnt_from, promised
from accidents.training.refit import refit_facts
from accidents.training.trained_model import Model
from steps.folder import Folder
from steps.support.rows import Rows, keys_of, rows_at


@step
def build_bundle(
    model: Folder,
    judged_model: Folder,
    train_rows: Rows,
    calibration_rows: Rows,
    test_rows: Rows,
    test_predictions: pd.DataFrame,
    split: dict[str, Any],
    results: dict[str, Any],
    evaluation: EvaluationSettings,
    data_facts: dict[str, Any],
    made_from: MadeFrom,
    name: str,
    seed: int,
    unseen: pd.DataFrame | None = None,
) -> Annotated[Folder, "bundle"]:
    """Put model, facts, reference and card together; the same inputs give the same bytes.

    `model` is what is deployed: where `unseen` has rows, a refit of `judged_model` and what it gives of all
    rows out of fold.
    """
    deployed, judged = Model.load(model.path), Results.from_dict(results)
    parts, refitted = [train_rows, calibration_rows], unseen is not None and len(unseen) > 0
    learnt = keys_of(*parts)
    facts = {
        "name": name,
        "stage": deployed.stage,
        "threshold": judged.alerts.threshold,
        "budget": evaluation.budget,
        "bands": dict(evaluation.bands),
        "source": data_facts["source"],
        "synthetic": data_facts["synthetic"],
        "split": split,
        "learnt_from": learnt_from(learnt),
        **made_from.facts(),
    }
    if unseen is not None and refitted:
        parts = [*parts, test_rows]
        del learnt  # before all of them are read
        learnt = keys_of(*parts).assign(p_unseen=unseen["p_unseen"].to_numpy())
        facts = refit_facts(facts, learnt, len(test_rows), judged, evaluation.budget, seed)
    chosen = latest_learnt(learnt.assign(position=np.arange(len(learnt))), seed)
    sample = rows_at(parts, chosen["position"].to_numpy())
    if refitted:
        sample = sample.assign(p_unseen=chosen["p_unseen"].to_numpy())
    folder = Folder.temporary("bundle-")
    reference = sample.assign(p_severe=deployed.predict_proba(sample))
    holdout = promised(keys_of(test_rows), test_predictions["model"], seed)
    write_bundle(
        folder.path, deployed, facts, reference, model_card(facts, judged), holdout,
        Model.load(judged_model.path) if refitted else None,
    )  # fmt: skip
    return folder
