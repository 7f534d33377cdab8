"""The candidate becomes champion if the decision says so, and still stands when it does."""

from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.promotion.champion_comparison import JudgingSettings
from steps.folder import Folder
from steps.promotion.judge_candidate import judge_candidate
from steps.support import champion_and_versions
from steps.support.rows import Rows


@step(enable_cache=False)  # who is champion is outside the artifact store, and may be another by now
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
    may_return: bool = True,
) -> tuple[Annotated[str, "champion_version"], Annotated[dict[str, Any], "decision"]]:
    """Promote the candidate or leave the champion; return who is champion now, "" for nobody, and why.

    If another has become champion since the candidate was judged, it is judged again, against that one.
    Without `may_return` a version that was taken back stays so, however it is judged.
    """
    candidate = champion_and_versions.version(name, model_version)
    held_back = not may_return and champion_and_versions.was_taken_back(candidate)
    decision = _held_back(judgement, model_version) if held_back else judgement
    while True:
        try:
            if decision["promote"]:
                champion_and_versions.promote(candidate, decision["reason"], decision["against"])
            else:
                champion_and_versions.check_champion(name, decision["against"])
            break
        except champion_and_versions.ChampionChangedError as changed:
            judged = judge_candidate.entrypoint(
                bundle, test_rows, test_predictions, gates, rules, changed.champion, unseen
            )
            decision = _held_back(judged, model_version) if held_back else judged
    return champion_and_versions.conclude(candidate, decision), decision


def _held_back(judgement: dict[str, Any], version: str) -> dict[str, Any]:
    """Return the decision of a version that was taken back."""
    if not judgement["promote"]:
        return judgement
    reason = (
        f"Version {version} was taken back. `python run.py promote {version}` brings it back all the same."
    )
    return {**judgement, "promote": False, "rule": "taken back", "reason": reason}
