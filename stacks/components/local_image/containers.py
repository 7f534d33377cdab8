"""The containers of a run: what is known of those that ended badly, and that none is left of any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.container_engine import container_engine

# Labels of a step's container.
PROJECT, RUN, STEP = "accidents.project", "accidents.run", "accidents.step"
_TOLD = (0, 1)  # exit codes of a step that could say for itself how it went


def remove_containers(run: str) -> list[Mapping[str, Any]]:
    """End and remove the containers of a run; return what the engine knew of them, the last step's first.

    Raises StackError if the engine does not answer.
    """
    with container_engine() as engine:
        containers = engine.containers.list(all=True, filters={"label": f"{RUN}={run}"}, ignore_removed=True)
        for container in containers:
            container.remove(force=True, v=True)
    return [container.attrs for container in containers]


def why_killed(containers: list[Mapping[str, Any]], memory: str) -> str | None:
    """Return why a step ended that could not say so itself; None if there is no such step."""
    for each in containers:
        step, state = each["Config"]["Labels"][STEP], each["State"]
        if state["OOMKilled"]:
            return (
                f"Step {step} was ended, for it took more than the {memory} of memory that its container may "
                "have. Give it more, `memory` of the orchestrator in stacks/NAME.yaml, or less to do: fewer "
                "years, or rows, at a time."
            )
        if state["ExitCode"] not in _TOLD:
            return (
                f"Step {step} was ended from outside (exit code {state['ExitCode']}): by somebody, or by a "
                "machine that has no memory left. Run the command again; what was done is not done anew."
            )
    return None
