"""Trials at BentoML from start to end, with real Bentos and a real API, while callers ask."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from accidents.bundle.golden import Golden
from accidents.predictions.prediction_log import PredictionLog
from accidents.rollout.traffic_split import Role, is_in_share
from stacks.apply import apply_stack
from stacks.endpoints import BundleReference, DeploymentError, Endpoint, State, active_endpoints
from tests.compiled import compile_once
from tests.load import Load
from tests.model_servers import NAME, Version, make_version
from tests.processes import free_port, kill_all_of, processes_of
from tests.rollout.asking import ask, see, shadow_scores
from tests.serving.api_process import api_process
from tests.stacks.conftest import write_stack
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]
CALLERS = 4


@dataclass(frozen=True)
class Bentos:
    """Three versions of a model, and where BentoML keeps what it serves."""

    versions: dict[str, Version]
    home: Path

    @property
    def endpoint(self) -> Endpoint:
        """Looked up anew, as each command does."""
        return active_endpoints().endpoint(NAME)

    def deploy(self, number: str) -> None:
        self.endpoint.deploy(*self._of(number))

    def try_out(self, number: str, role: Role, share: int = 0, off_by: float = 0) -> None:
        """Serve it on trial; its golden answers are that much off."""
        reference, golden = self._of(number)
        wrong = Golden(golden.features, golden.p_severe + off_by)
        self.endpoint.try_out(reference, wrong, role, share)

    def served(self) -> list[tuple[str, str, int, State]]:
        """Version, role, share and state of each."""
        served = self.endpoint.versions()
        return [(version.version, version.role, version.share, version.state) for version in served]

    def _of(self, number: str) -> tuple[BundleReference, Golden]:
        version = self.versions[number]
        features = version.rows[version.bundle.features].head(20)
        golden = Golden(features, version.bundle.predict(features.to_numpy(np.float32)))
        folder, digest = version.bundle.folder, version.bundle.digest
        return BundleReference(NAME, number, digest, str(folder)), golden


@pytest.fixture
def bentos(zenml_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bentos]:
    compile_once()  # a Bento takes it along
    home = tmp_path_factory.mktemp("bento")
    os.environ["BENTOML_PORT"] = str(free_port())  # the store's fixture puts back what was there
    config = {"flavor": "bentoml", "config": {"service_path": str(home)}}
    apply_stack(
        "bentos", folder=write_stack(tmp_path_factory.mktemp("stacks"), "bentos", model_deployer=config)
    )
    versions = {number: make_version(tmp_path_factory.mktemp("version"), int(number)) for number in "123"}
    try:
        yield Bentos(versions, home)
    finally:
        kill_all_of(home)


def test_no_request_fails_from_the_start_of_a_trial_to_its_end(bentos: Bentos, tmp_path: Path) -> None:
    bentos.deploy("1")
    address = bentos.endpoint.v2_address()
    assert address is not None
    # On a busy machine a slow answer is none that was lost.
    with api_process(tmp_path, address, model_timeout="10") as api:
        with Load(api.address, ask_steadily, CALLERS) as load:
            see(load, ("1", "champion"))
            bentos.try_out("2", "challenger", 30)
            see(load, ("1", "champion"), ("2", "challenger"))
            bentos.try_out("3", "shadow")
            load.wait(lambda: shadow_scores(tmp_path)["3"] > 100)
            refuse(bentos)
            first = len(load.answers)
            bentos.try_out("2", "challenger", 60)
            load.wait(lambda: any(in_second_part(answer) for answer in load.answers[first:]))
        kill_worker(bentos)
        with Load(api.address, ask_steadily, CALLERS) as later:
            see(later, ("1", "champion"), ("2", "challenger"))
            bentos.deploy("2")  # promoted
            see(later, ("2", "champion"))
    assert bentos.served() == [("2", "champion", 100, State.healthy)]
    assert load.failed + later.failed == []
    assert len(list((bentos.home / "bentos" / NAME).glob("*/"))) == 1, "what is served no more is deleted"
    answers = load.answers + later.answers
    assert {answer["model"]["role"] for answer in answers} == {"champion", "challenger"}
    with closing(PredictionLog(f"sqlite:///{tmp_path / 'predictions.db'}")) as log:
        logged = {row["request_id"]: (row["model_version"], row["role"]) for row in log.read()}
    assert all(
        logged[answer["request_id"]] == (answer["model"]["version"], answer["model"]["role"])
        for answer in answers
    )


def ask_steadily(client: httpx.Client, caller: int, number: int) -> dict[str, Any]:
    """About eighty a second of all callers, which leave a processor to what is switched."""
    time.sleep(0.05)
    return ask(client, caller, number)


def refuse(bentos: Bentos) -> None:
    """Have a version not give its golden answers: it leaves all as it was, and no process."""
    before, processes = bentos.served(), {process.pid for process in processes_of(bentos.home)}
    with pytest.raises(DeploymentError, match="golden"):
        bentos.try_out("3", "challenger", 50, off_by=0.01)
    assert bentos.served() == before
    assert {process.pid for process in processes_of(bentos.home)} == processes


def in_second_part(answer: dict[str, Any]) -> bool:
    """Whether a challenger of 60 % gave it where one of 30 would not have."""
    accident, role = answer["accident_id"], answer["model"]["role"]
    return role == "challenger" and is_in_share(accident, 60) and not is_in_share(accident, 30)


def kill_worker(bentos: Bentos) -> None:
    """Wait until BentoML has brought it back, with the versions on trial."""
    before = bentos.served()
    assert sorted(before) == [
        ("1", "champion", 40, State.healthy),
        ("2", "challenger", 60, State.healthy),
        ("3", "shadow", 0, State.healthy),
    ]
    worker, _ = sorted(processes_of(bentos.home), key=lambda process: len(process.children()))
    worker.kill()
    deadline = time.monotonic() + 120
    while bentos.served() != before or worker.is_running():
        assert time.monotonic() < deadline, bentos.served()
        time.sleep(0.2)
