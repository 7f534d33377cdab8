"""What the champion of a stack was trained on, as parameters: a retraining adds newer years to them."""

from __future__ import annotations

from accidents.errors import AccidentsError
from accidents.params import Params
from commands.project import on_stack


def champion_params(params: Params, stack: str, source: str | None = None) -> Params:
    """Take source and years of the champion on a stack: to these newer years are added.

    `source` is that of the accident files instead. Raises AccidentsError where there is no champion.
    """
    on_stack(stack)
    from steps.support import champion_and_versions

    name = champion_and_versions.model_name(params.stage)
    champion = champion_and_versions.champion(name)
    if champion is None:
        raise AccidentsError(f"{name} has no champion yet to watch: python run.py --pipeline train.")
    facts = champion_and_versions.bundle_of(champion).facts
    update = {"years": tuple(facts["years"]), "version": None}
    if source is None:
        update["source"] = facts["source"]
    split = params.split.model_copy(update={"test_year": None})
    return params.model_copy(
        update={"data": params.data.model_copy(update=update), "split": split}
    )  # fmt: skip
