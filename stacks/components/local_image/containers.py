"""The containers of a run: what is known of those that ended badly, and that none is left of any."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

import psutil

from stacks.container_engine import container_engine
from stacks.processes import StartedProcess

# Labels of a step's container.
PROJECT, RUN, STEP = "accidents.project", "accidents.run", "accidents.step"
HOST, PROCESS, STARTED = "accidents.host", "accidents.process", "accidents.started"  # who waits for it
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


def labels_of(project: str, run: str, step: str) -> dict[str, str]:
    """Return the labels of a step's container that this process starts and waits for."""
    started = str(psutil.Process().create_time())
    waits = {HOST: socket.gethostname(), PROCESS: str(os.getpid()), STARTED: started}
    return {PROJECT: project, RUN: run, STEP: step, **waits}


def remove_left_behind(project: str) -> list[str]:
    """Remove a project's containers that nobody waits for, as kill -9 leaves them; return their steps' names.

    Raises StackError if the engine does not answer.
    """
    labels = [f"{PROJECT}={project}", f"{HOST}={socket.gethostname()}"]
    removed = []
    with container_engine() as engine:
        for container in engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True):
            waits = StartedProcess(int(container.labels[PROCESS]), float(container.labels[STARTED]))
            if waits.process() is None:
                container.remove(force=True, v=True)
                removed.append(container.labels[STEP])
    return removed


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
