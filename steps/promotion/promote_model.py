"""The candidate becomes champion if the decision says so, and still stands when it does."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.promotion.comparison import JudgingSettings
from steps.folder import Folder
from steps.promotion.judge_candidate import judge_candidate
from steps.support import model_versions
from steps.support.rows import Rows


@step
def promote_model(
    model_version: str,
    judgement: dict[str, Any],
    bundle: Folder,
    test_rows: Rows,
    test_predictions: pd.DataFrame,
    gates: dict[str, Any],
    rules: JudgingSettings,
    name: str,
    unseen: pd.DataFrame | None = None,
) -> tuple[Annotated[str, "champion_version"], Annotated[dict[str, Any], "decision"]]:
    """Promote the candidate or leave the champion; return who is champion now, "" for nobody, and why.

    If another has become champion since the candidate was judged, it is judged again, against that one.
    """
    candidate, decision = model_versions.version(name, model_version), judgement
    while True:
        try:
            if decision["promote"]:
                model_versions.promote(candidate, decision["reason"], decision["against"])
            else:
                model_versions.check_champion(name, decision["against"])
            break
        except model_versions.ChampionChangedError as changed:
            decision = judge_candidate.entrypoint(
                bundle, test_rows, test_predictions, gates, rules, changed.champion, unseen
            )
    return model_versions.conclude(candidate, decision), decision
