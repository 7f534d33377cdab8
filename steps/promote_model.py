"""The candidate becomes champion if the decision says so."""

from typing import Annotated, Any

from zenml import step

from steps import registry


@step
def promote_model(
    model_version: str, decision: dict[str, Any], stage: str
) -> Annotated[str, "champion_version"]:
    """Promote the candidate or leave the champion; return who is champion now, "" for nobody."""
    name = registry.model_name(stage)
    candidate = registry.version(name, model_version)
    if decision["promote"]:
        registry.promote(candidate, decision["reason"])
    if decision["rule"] != "same":  # who is champion already keeps the reason it was promoted for
        registry.note(candidate, decision["reason"])
    now = registry.agree(name)
    return str(now.number) if now else ""
