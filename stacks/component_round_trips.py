"""How `stack check` tries each kind of component; what works leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import uuid4

from stacks.endpoints import State, endpoints_of
from stacks.errors import StackError
from stacks.server_errors import diagnosis

EXPERIMENT = "stack check"


class Probe(NamedTuple):
    """How a kind of component is probed: returns what was done, raises whatever is wrong."""

    run: Callable[[Any], str]
    remedy: str


def probe_of(kind: str) -> Probe:
    """Find how a kind is probed; one without a way is only made, as a run would make it."""
    return _PROBES.get(kind, _MADE)


def explanation(error: BaseException, remedy: str) -> str:
    """Return what is wrong and what to do, in one line; `remedy` where nothing better is known."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return diagnosis(error) or f"{first}. {remedy}"


def try_artifact_store(store: Any) -> str:
    """Write, read and delete a small object."""
    path = f"{store.path.rstrip('/')}/stack-check-{uuid4().hex}"
    if "://" not in store.path:  # a bucket is its owner's to create: it may be the wrong name
        store.makedirs(store.path)
    with store.open(path, "w") as file:
        file.write(EXPERIMENT)
    try:
        with store.open(path, "r") as file:
            content = file.read()
    finally:
        store.remove(path)
    if content != EXPERIMENT:
        raise StackError(f"{path} holds {content!r} and not what was written")
    return f"wrote, read and deleted an object in {store.path}"


def try_experiment_tracker(tracker: Any) -> str:
    """Log a run and delete it."""
    if not hasattr(tracker, "configure_mlflow"):
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
    """List the models; register one and delete it, where the registry is MLflow's."""
    models = f"{len(registry.list_models()):,} models"
    if not hasattr(registry, "mlflow_client"):
        return models
    from mlflow.exceptions import MlflowException

    client, name = registry.mlflow_client, f"stack-check-{uuid4().hex}"
    try:
        client.create_registered_model(name)
    except BaseException:  # whoever ends the check leaves none there either
        with suppress(MlflowException):
            client.delete_registered_model(name)
        raise
    client.delete_registered_model(name)
    return f"registered and deleted a model; {models}"


def try_model_deployer(deployer: Any) -> str:
    """Ask for its servers, and first for its cluster or container engine; each that should run must."""
    reached = deployer.reached() if hasattr(deployer, "reached") else ""
    endpoints = endpoints_of(deployer)
    states = {name: endpoints.endpoint(name).state() for name in endpoints.names()}
    failing = [f"{name}: {state.reason}" for name, state in states.items() if state.state == State.failing]
    if failing:
        raise StackError(
            f"should serve and does not: {', '.join(failing)}. Deploy again: python run.py --pipeline deploy"
        )
    served = [f"{name} at {state.url}" for name, state in states.items() if state.state == State.healthy]
    return "; ".join(filter(None, [reached, ", ".join(served) or "serves nothing"]))


def try_container_registry(registry: Any) -> str:
    """Get a login, where a service connector gives it."""
    if registry.connector is None:
        return f"made, of flavor {registry.flavor}"
    if registry.credentials is None:
        raise StackError(f"its connector gives no login for {registry.config.uri}. Correct `uri`.")
    return f"got a login for {registry.config.uri}"


def try_orchestrator(orchestrator: Any) -> str:
    """Ask the cluster, or the container engine and for the image that is set, where steps run there."""
    if hasattr(orchestrator, "reached"):
        return str(orchestrator.reached())
    if hasattr(orchestrator, "image_facts"):
        return f"the container engine answers, and has the image {orchestrator.image_facts()[0]}"
    if not hasattr(orchestrator, "docker_client"):
        return f"made, of flavor {orchestrator.flavor}"
    version = orchestrator.docker_client.version()
    return f"container engine {version['Version']} answers"


_PROBES = {
    "artifact_store": Probe(
        try_artifact_store, "Is the place right, may this user write there, are the credentials right?"
    ),
    "experiment_tracker": Probe(try_experiment_tracker, "Does the tracking server run, at this address?"),
    "model_registry": Probe(try_model_registry, "Does the registry's server run, at this address?"),
    "model_deployer": Probe(try_model_deployer, "Do its server and its folder exist, as set in the file?"),
    "container_registry": Probe(
        try_container_registry, "Is the registry's address right, and may the connector's login use it?"
    ),
    "orchestrator": Probe(
        try_orchestrator, "Does the container engine run (`docker info`), and may this user ask it?"
    ),
}
_MADE = Probe(
    lambda component: f"made, of flavor {component.flavor}", "Correct its settings in the stack file."
)
