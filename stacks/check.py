"""Try what a stack file asks for: installed, in the store, and doing its work. Nothing is left behind.

`TRIALS` has a function a component kind; a kind without one is only made, as a run would make it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from accidents.errors import AccidentsError
from stacks.definition import STACKS_FOLDER, StackDefinition, read_stack
from stacks.endpoints import State, endpoints_of
from stacks.errors import StackError
from stacks.state import file_digest, state_of
from stacks.store import find_stack, opened_store
from stacks.wanted import wanted_component

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.models import StackResponse

EXPERIMENT = "stack check"
_UNUSABLE = "Is the database whole, and may this user write it?"
# A tracker that does not answer is told in seconds; by itself MLflow tries for minutes.
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


@dataclass(frozen=True)
class Finding:
    """One thing that was tried."""

    what: str
    well: bool
    told: str  # what was done, or what is wrong and what to do


class Trial(NamedTuple):
    """How a kind of component is tried: returns what was done, raises whatever is wrong."""

    run: Callable[[Any], str]
    remedy: str


def check_stack(name: str, folder: Path = STACKS_FOLDER) -> Iterator[Finding]:
    """Try one thing after another, the cheap ones first; what needs a failed one is left out."""
    read = _tried("file", lambda: read_stack(name, folder).description, "")
    yield read
    if not read.well:
        return
    definition = read_stack(name, folder)
    with ExitStack() as held:
        opened = _tried("store", lambda: str(held.enter_context(opened_store()).zen_store.url), _UNUSABLE)
        yield opened
        if not opened.well:
            return
        from zenml.client import Client

        client = Client()
        fits = [_flavor_fits(client, definition, kind) for kind in definition.components]
        yield from fits
        stack = find_stack(client, name)
        yield _is_applied(stack, name, folder)
        if stack is not None and all(finding.well for finding in fits):
            with _active(stack):
                yield from (_component_works(client, kind) for kind in stack.components)


def try_artifact_store(store: Any) -> str:
    """Write, read and delete a small object."""
    path = f"{store.path.rstrip('/')}/stack-check-{uuid4().hex}"
    if not store.exists(store.path):
        store.makedirs(store.path)
    with store.open(path, "w") as file:
        file.write(EXPERIMENT)
    try:
        with store.open(path, "r") as file:
            found = file.read()
    finally:
        store.remove(path)
    if found != EXPERIMENT:
        raise StackError(f"{path} holds {found!r} and not what was written")
    return f"wrote, read and deleted an object in {store.path}"


def try_experiment_tracker(tracker: Any) -> str:
    """Log a run and delete it."""
    if tracker.flavor != "mlflow":
        return f"made; how to log with flavor {tracker.flavor} is not known here"
    from mlflow import MlflowClient

    tracker.configure_mlflow()
    client = MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    run = client.create_run(experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT))
    client.log_metric(run.info.run_id, "reached", 1)
    client.delete_run(run.info.run_id)
    return f"logged and deleted a run at {tracker.get_tracking_uri()}"


def try_model_registry(registry: Any) -> str:
    """List the models."""
    return f"{len(registry.list_models()):,} models"


def try_model_deployer(deployer: Any) -> str:
    """Ask for its servers; each that should run must."""
    endpoints = endpoints_of(deployer)
    states = {name: endpoints.endpoint(name).state() for name in endpoints.names()}
    failing = [f"{name}: {one.reason}" for name, one in states.items() if one.state == State.failing]
    if failing:
        raise StackError(
            f"should serve and does not: {', '.join(failing)}. Deploy again: python run.py --pipeline deploy"
        )
    served = [f"{name} at {one.url}" for name, one in states.items() if one.state == State.healthy]
    return ", ".join(served) or "serves nothing"


TRIALS = {
    "artifact_store": Trial(
        try_artifact_store, "Is the place right, may this user write there, are the credentials right?"
    ),
    "experiment_tracker": Trial(try_experiment_tracker, "Does the tracking server run, at this address?"),
    "model_registry": Trial(try_model_registry, "Does the registry's server run, at this address?"),
    "model_deployer": Trial(try_model_deployer, "Do its server and its folder exist, as set in the file?"),
}
MADE = Trial(
    lambda component: f"made, of flavor {component.flavor}", "Correct its settings in the stack file."
)


def _tried(what: str, run: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(what, True, run())
    except (StackError, AccidentsError) as error:  # says itself what to do
        return Finding(what, False, str(error))
    except Exception as error:  # whatever a component's library raises
        first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        return Finding(what, False, f"{first}. {remedy}")


def _flavor_fits(client: Client, definition: StackDefinition, kind: str) -> Finding:
    """Whether the flavor is there, takes these settings, and can be imported."""

    def run() -> str:
        wanted = wanted_component(client, definition, kind)
        wanted.check_against(None)
        return f"flavor {wanted.flavor.name} is installed and takes these settings"

    return _tried(kind, run, "Correct the file, or install what is missing.")


def _is_applied(stack: StackResponse | None, name: str, folder: Path) -> Finding:
    state = state_of(stack, file_digest(name, folder))
    remedy = "" if state == "applied" else f": python run.py stack apply {name}"
    return Finding("in the store", state == "applied", f"{state}{remedy}")


@contextmanager
def _active(stack: StackResponse) -> Iterator[None]:
    """Have it the active stack for this process alone: components look up one another there."""
    before = dict(os.environ)
    os.environ.update({**_IMPATIENT, **before, "ZENML_ACTIVE_STACK_ID": str(stack.id)})
    try:
        yield
    finally:  # MLflow leaves addresses and passwords there, too
        os.environ.clear()
        os.environ.update(before)


def _component_works(client: Client, kind: StackComponentType) -> Finding:
    from zenml.stack import StackComponent

    (response,) = client.active_stack_model.components[kind]
    trial = TRIALS.get(kind.value, MADE)
    made = f"{kind.value} {response.name}"
    return _tried(made, lambda: trial.run(StackComponent.from_model(response)), trial.remedy)
