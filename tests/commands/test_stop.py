"""`run.py stop --all`: what serves on this machine ends, of whichever stack; a cluster is left alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from accidents.errors import AccidentsError
from accidents.rollout.traffic_split import CHAMPION
from commands import api
from stacks import apply, endpoints
from stacks.components.mlserver.folder import ServedModel, ServerFolder
from stacks.endpoints import (
    DeploymentError,
    Endpoints,
    EndpointState,
    ServedVersion,
    State,
    bentoml,
    lookup,
)
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]


@dataclass
class Serving:
    """A served model, also as all the endpoints of a stack."""

    on_this_machine: bool = True
    broken: bool = False
    stopped: list[str] = field(default_factory=list)
    name: str = "a-model"

    def names(self) -> list[str]:
        return [self.name]

    def endpoint(self, name: str) -> Serving:
        return self

    def state(self) -> EndpointState:
        return EndpointState(State.stopped if self.stopped else State.healthy)

    def versions(self) -> tuple[ServedVersion, ...]:
        return (ServedVersion("7", "digest", CHAMPION, 100, State.healthy, self.name),)

    def stop(self) -> None:
        if self.broken:
            raise DeploymentError("it does not end")
        self.stopped.append(self.name)


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Serving]:
    """The endpoints of each stack; `local` is the active one."""
    made = {"local": Serving(), "local-mlflow": Serving(), "kubernetes": Serving(on_this_machine=False)}
    every = {name: cast(Endpoints, one) for name, one in made.items()}
    monkeypatch.setattr(api, "on_stack", lambda _: None)
    monkeypatch.setattr(type(api.API), "stop", lambda _: False)
    monkeypatch.setattr(endpoints, "find_endpoints", lambda: made["local"])
    monkeypatch.setattr(endpoints, "every_endpoints", lambda _: every)
    return made


def test_all_on_this_machine_are_stopped_and_no_cluster(stacks: dict[str, Serving]) -> None:
    api.stop_serving("local", everywhere=True)
    assert {name for name, one in stacks.items() if one.stopped} == {"local", "local-mlflow"}


def test_without_it_other_stacks_serve_on(stacks: dict[str, Serving]) -> None:
    api.stop_serving("local")
    assert {name for name, one in stacks.items() if one.stopped} == {"local"}


def test_one_that_cannot_be_stopped_is_an_error_once_the_others_are(stacks: dict[str, Serving]) -> None:
    stacks["local"].broken = True
    with pytest.raises(AccidentsError, match="may serve still:\n  a-model of stack local: it does not end"):
        api.stop_serving("local", everywhere=True)
    assert stacks["local-mlflow"].stopped


@pytest.fixture
def shared(zenml_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerFolder:
    """A folder's model server; ZenML's server is one that others use, too, and `make bento` was not done."""
    monkeypatch.setattr(type(api.API), "stop", lambda _: False)
    monkeypatch.setattr(lookup, "serving_flavors", lambda: None)
    monkeypatch.setattr(apply, "is_embedded", lambda _: False)
    monkeypatch.setenv("ZENML_CUSTOM_SOURCE_ROOT", str(tmp_path))
    (tmp_path / "bento.txt").write_text("no-such-package==1.0\n", encoding="utf-8")
    monkeypatch.setattr(bentoml, "_lock", lambda: tmp_path / "bento.txt")
    for variable in ("S3_ACCESS_KEY", "S3_SECRET_KEY", "MLFLOW_PASSWORD"):
        monkeypatch.setenv(variable, "x")
    server = ServerFolder(tmp_path / ".serving" / "model-server")
    server.serve(ServedModel("severity", "3", "of its bundle"))
    return server


def test_on_a_shared_server_what_can_be_stopped_is_and_the_rest_is_told(
    shared: ServerFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AccidentsError, match=r"severity of stack \S+: Stack .* run\.py stack apply"):
        api.stop_serving("local", everywhere=True)  # deployed before anybody had that server
    assert list(shared.served()) == ["severity"]
    for name in ("local-bento", "staging"):
        apply.apply_stack(name, activate=False)
    api.stop_serving("local", everywhere=True)  # which nobody has applied: of staging it is the same server
    assert "severity version 3 stopped." in capsys.readouterr().out
    assert list(shared.served()) == []
    shared.serve(ServedModel("severity", "4", "of its bundle"))
    (tmp_path / ".serving" / "bento").mkdir()
    with pytest.raises(AccidentsError, match="stack local-bento: BentoML cannot serve from this environment"):
        api.stop_serving("local", everywhere=True)
    assert list(shared.served()) == [], "of another stack"


def test_a_stack_that_nobody_applied_hides_no_server_that_another_can_stop(
    shared: ServerFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a store of this machine, where it would need variables to be applied now."""
    monkeypatch.setattr(apply, "is_embedded", lambda _: True)
    monkeypatch.setattr(lookup, "serving_flavors", lambda: {"mlserver"})
    apply.apply_stack("local")
    for variable in ("S3_ACCESS_KEY", "S3_SECRET_KEY", "MLFLOW_PASSWORD"):
        monkeypatch.delenv(variable)
    api.stop_serving("staging", everywhere=True)
    assert list(shared.served()) == []


@pytest.mark.parametrize("flavors", [None, {"mlserver"}], ids=["a shared server", "a store of this machine"])
def test_a_stack_that_lacks_a_variable_here_is_asked_as_applied_and_others_are_stopped(
    shared: ServerFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flavors: set[str] | None
) -> None:
    for variable in ("S3_ENDPOINT", "MLFLOW_SERVER"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    monkeypatch.setenv("KUBERNETES_CONTEXT", "a-cluster")
    for name in ("kubernetes", "staging"):
        apply.apply_stack(name, activate=False)
    monkeypatch.delenv("KUBERNETES_CONTEXT")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr(lookup, "serving_flavors", lambda: flavors)
    with pytest.raises(AccidentsError, match=r"still:\n  stack kubernetes: There is no context a-cluster"):
        api.stop_serving("kubernetes", everywhere=True)
    assert list(shared.served()) == [], "of staging, and of other stacks that nobody has applied"
