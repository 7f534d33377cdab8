"""`status` tells what still serves on another stack, and which of all of it people's requests reach."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from accidents.rollout.traffic_split import CHAMPION
from commands import other_stacks as module
from commands.other_stacks import beside
from stacks.apply import apply_stack
from stacks.endpoints import (
    DeploymentError,
    Endpoint,
    Endpoints,
    EndpointState,
    ServedVersion,
    State,
    bentoml,
    lookup,
)
from stacks.endpoints.mlflow import MLflowEndpoints
from stacks.errors import NotAppliedError
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]
NAME = "accident-severity-dispatch"
HERE, THERE = "http://127.0.0.1:8085", "http://127.0.0.1:3000"


@dataclass
class At:
    """A served model, or one that was stopped; also all the endpoints of a stack."""

    address: str
    serves: bool = True
    name: str = NAME

    def names(self) -> list[str]:
        return [NAME]

    def endpoint(self, name: str) -> At:
        return self

    def state(self) -> EndpointState:
        return EndpointState(State.healthy if self.serves else State.stopped)

    def v2_address(self) -> str | None:
        return self.address if self.serves else None

    def versions(self) -> tuple[ServedVersion, ...]:
        return (ServedVersion("7", "digest", CHAMPION, 100, State.healthy, NAME),)


class Silent(At):
    def names(self) -> list[str]:
        raise DeploymentError("no answer")


def told(monkeypatch: pytest.MonkeyPatch, asked: str | None, **others: At) -> dict[str, str]:
    monkeypatch.setattr(module, "other_endpoints", lambda stack: cast(dict[str, Endpoints], others))
    monkeypatch.setattr(type(module.API), "variable", lambda self, name: asked)
    return beside("local", {NAME: cast(Endpoint, At(HERE))})


def test_what_serves_on_another_stack_is_told_and_which_is_live(monkeypatch: pytest.MonkeyPatch) -> None:
    said = told(monkeypatch, THERE, bento=At(THERE))
    assert said == {
        "Beside": f"stack bento still serves {NAME} version 7 at {THERE}; "
        "python run.py stop --stack bento ends it",
        "Live": f"stack bento: the API asks {THERE}",
    }
    assert told(monkeypatch, HERE, bento=At(THERE))["Live"].startswith("stack local:")
    assert told(monkeypatch, None, bento=At(THERE))["Live"].startswith("none of them: no API runs")
    assert told(monkeypatch, "http://x", bento=At(THERE))["Live"] == "none of them: the API asks http://x"


def test_what_does_not_serve_is_not_told_and_who_cannot_be_asked_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, HERE, bento=At(THERE, serves=False)) == {}
    assert told(monkeypatch, HERE, bento=Silent(THERE)) == {
        "Beside": "stack bento cannot be asked: no answer"
    }


@pytest.mark.usefixtures("zenml_store")
def test_nothing_is_told_of_a_stack_that_was_not_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here another one's MLflow serves, so that each stack with such a deployer is asked."""
    monkeypatch.setattr(lookup, "serving_flavors", lambda: {MLflowEndpoints.flavor})
    others = lookup.other_endpoints("local")
    assert set(others) == {"local-mlflow"}
    with pytest.raises(NotAppliedError):
        others["local-mlflow"].names()
    assert beside("local", {}) == {}


def test_of_a_shared_server_the_stacks_that_are_applied_are_others_each_deployer_once(
    zenml_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that nobody has applied nothing is told, also where BentoML is not installed."""
    monkeypatch.setenv("ZENML_CUSTOM_SOURCE_ROOT", str(tmp_path))  # nobody's model server
    monkeypatch.setattr(lookup, "serving_flavors", lambda: None)
    (tmp_path / "bento.txt").write_text("no-such-package==1.0\n", encoding="utf-8")
    monkeypatch.setattr(bentoml, "_lock", lambda: tmp_path / "bento.txt")
    assert beside("local", {}) == {}
    for variable in ("S3_ACCESS_KEY", "S3_SECRET_KEY", "MLFLOW_PASSWORD"):
        monkeypatch.setenv(variable, "x")
    for name in ("local-mlflow", "staging"):
        apply_stack(name, activate=False)
    others = lookup.other_endpoints("local")
    assert set(others) == {"local-mlflow"}, "staging's MLServer is that of this machine, too"
    assert beside("local", {}) == {}
    assert list(lookup.every_endpoints("local"))[:2] == ["local-mlflow", "staging"]
