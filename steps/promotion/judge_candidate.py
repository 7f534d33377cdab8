"""Gates, and the champion on the same accidents: promote or not, and why."""

from functools import partial
from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.bundle import load_bundle
from accidents.evaluation.slices import SLICES
from accidents.promotion.champion_comparison import JudgingSettings, judge
from accidents.promotion.gates import GateReport
from accidents.promotion.refit_gate import check_refit
from engine.partitions import KEYS
from steps.folder import Folder
from steps.support import champion_and_versions
from steps.support.rows import Rows, columns_of, predicted

COMPARED = sorted({column for part in SLICES for column in part.columns})  # features that slices are of


@step
def judge_candidate(
    bundle: Folder,
    test_rows: Rows,
    test_predictions: pd.DataFrame,
    gates: dict[str, Any],
    rules: JudgingSettings,
    champion: str | None,
    unseen: pd.DataFrame | None = None,
) -> Annotated[dict[str, Any], "judgement"]:
    """Hold the candidate against champion version `champion`, if there is one, and its refit against itself.

    `unseen` is what the refit gives of all rows out of fold, those of the test last.

    Who is champion is a parameter so that a cached run judges again when it has changed.
    """
    candidate, held = load_bundle(bundle.path), GateReport.from_dict(gates)
    if unseen is not None and len(unseen):
        tested = unseen.tail(len(test_rows))
        held = held.and_also(check_refit(test_predictions, tested, rules.evaluation, rules.seed))
    reigning = None
    if champion is not None:
        reigning = champion_and_versions.bundle_of(
            champion_and_versions.version(candidate.facts["name"], champion)
        )
    mine = test_predictions["model"].to_numpy()
    compared = columns_of(test_rows, [*KEYS, *COMPARED])
    decided = judge(
        held, candidate, reigning, champion or "", compared, mine, rules, partial(predicted, rows=test_rows)
    )
    return {**decided.to_dict(), "against": champion}
