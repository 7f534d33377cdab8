"""The candidate becomes champion if the decision says so, and still stands when it does."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.promotion.judging import JudgingSettings
from steps.folder import Folder
from steps.promotion.judge_candidate import judge_candidate
from steps.support import champion_and_versions
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
    candidate, decision = champion_and_versions.version(name, model_version), judgement
    while True:
        try:
            if decision["promote"]:
                champion_and_versions.promote(candidate, decision["reason"], decision["against"])
            else:
                champion_and_versions.check_champion(name, decision["against"])
            break
        except champion_and_versions.ChampionChangedError as changed:
            decision = judge_candidate.entrypoint(
                bundle, test_rows, test_predictions, gates, rules, changed.champion, unseen
            )
    return champion_and_versions.conclude(candidate, decision), decision
