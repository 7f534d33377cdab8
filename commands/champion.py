"""`run.py promote` and `rollback`: the champion by hand."""

from __future__ import annotations

from accidents.params import Params
from commands.deploy import follow
from commands.project import console, on_stack


def change_champion(params: Params, stack: str, wanted: str | None) -> None:
    """Promote version `wanted`, or roll back to the champion before this one if it is None."""
    registry = on_stack(stack)
    name = registry.model_name(params.stage)
    if wanted is None:
        now, before = registry.rollback(name)
        console.print(
            f"{name}: version {now.number} is champion again; version {before.number} is not any more."
        )
    else:
        version = registry.version(name, wanted)
        registry.promote(version, "promoted by hand")
        console.print(f"{name}: version {wanted} is champion.")
    follow(params, stack)
