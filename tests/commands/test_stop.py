"""`run.py stop --all`: what serves on this machine ends, of whichever stack; a cluster is left alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest

from accidents.rollout.traffic_split import CHAMPION
from commands import api
from stacks import endpoints
from stacks.endpoints import DeploymentError, Endpoints, EndpointState, ServedVersion, State


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
    others = {name: cast(Endpoints, one) for name, one in made.items() if name != "local"}
    monkeypatch.setattr(api, "on_stack", lambda _: None)
    monkeypatch.setattr(type(api.API), "stop", lambda _: False)
    monkeypatch.setattr(endpoints, "find_endpoints", lambda: made["local"])
    monkeypatch.setattr(endpoints, "other_endpoints", lambda _: others)
    return made


def test_all_on_this_machine_are_stopped_and_no_cluster(stacks: dict[str, Serving]) -> None:
    api.stop_serving("local", everywhere=True)
    assert {name for name, one in stacks.items() if one.stopped} == {"local", "local-mlflow"}


def test_without_it_other_stacks_serve_on(stacks: dict[str, Serving]) -> None:
    api.stop_serving("local")
    assert {name for name, one in stacks.items() if one.stopped} == {"local"}


def test_one_that_cannot_be_stopped_is_an_error(stacks: dict[str, Serving]) -> None:
    stacks["local-mlflow"].broken = True
    with pytest.raises(DeploymentError, match="does not end"):
        api.stop_serving("local", everywhere=True)
