"""The recalibrated version becomes champion, if the one it was made of is champion still."""

from typing import Annotated, Any

from zenml import step

from steps.support import champion_and_versions


@step(enable_cache=False)  # who is champion is outside the artifact store
def promote_recalibrated(
    model_version: str, judgement: dict[str, Any], name: str
) -> tuple[Annotated[str, "champion_version"], Annotated[dict[str, Any], "decision"]]:
    """Promote it or leave the champion; return who is champion now, and why."""
    candidate, decision = champion_and_versions.version(name, model_version), judgement
    try:
        if decision["promote"]:
            champion_and_versions.promote(candidate, decision["reason"], decision["against"])
    except champion_and_versions.ChampionChangedError as changed:
        reason = f"{changed} It is looked at next; this is a recalibration of version {decision['against']}."
        decision = {**decision, "promote": False, "rule": "overtaken", "reason": reason}
    return champion_and_versions.conclude(candidate, decision), decision
