"""`run.py promote` and `rollback`: the champion by hand, and the end of a trial."""

from __future__ import annotations

from accidents.params import Params
from commands.deploy import redeploy
from commands.project import console, on_stack
from commands.trial import end_trials


def change_champion(params: Params, stack: str, wanted: str | None) -> None:
    """Promote version `wanted`. None: take back what is on trial; without, the champion before this one."""
    on_stack(stack)
    from steps.support import champion_and_versions

    name = champion_and_versions.model_name(params.stage)
    if wanted is None:
        if end_trials(name):
            console.print(f"{name}: the champion stays as it is, and answers everything.")
            return
        now, before = champion_and_versions.rollback(name)
        console.print(
            f"{name}: version {now.number} is champion again; version {before.number} is not any more."
        )
    else:
        version = champion_and_versions.version(name, wanted)
        champion_and_versions.promote(version, "promoted by hand")
        console.print(f"{name}: version {wanted} is champion.")
    redeploy(params, stack)
