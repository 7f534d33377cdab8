"""`run.py promote` and `rollback`: the champion by hand, and the end of a trial."""

from __future__ import annotations

from accidents.params import Params
from commands.deploy import redeploy
from commands.project import console, on_stack
from commands.trial import end_trials


def promote(params: Params, stack: str, wanted: str) -> None:
    """Make version `wanted` champion; the endpoint follows, which ends what is on trial."""
    on_stack(stack)
    from steps.support import champion_and_versions

    name = champion_and_versions.model_name(params.stage)
    version = champion_and_versions.version(name, wanted)
    champion_and_versions.promote(version, "promoted by hand")
    console.print(f"{name}: version {wanted} is champion.")
    redeploy(params, stack)


def rollback(params: Params, stack: str, champion: bool) -> None:
    """End what is on trial; where nothing is, put back the champion before this one; the endpoint follows.

    Parameters
    ----------
    champion : whether the champion goes back also where something is on trial.

    Raises
    ------
    RegistryError : there is no champion, or it has replaced no other.
    """
    on_stack(stack)
    from steps.support import champion_and_versions

    name = champion_and_versions.model_name(params.stage)
    if end_trials(name) and not champion:
        if still := champion_and_versions.champion(name):
            console.print(
                f"{name}: the champion is still version {still.number}, as before. To take it back, run the "
                "same command again.",
                highlight=False,
            )
        return
    now, before = champion_and_versions.rollback(name)
    console.print(f"{name}: version {now.number} is champion again; version {before.number} is not any more.")
    redeploy(params, stack)
