"""Real 2018 by commands while callers ask: canary, shadow, promotion, the way back; nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from accidents.predictions.prediction_log import PredictionLog
from accidents.rollout.traffic_split import is_in_share
from tests.load import Load
from tests.pipelines.conftest import Project, make_project
from tests.processes import free_port, kill_all_of
from tests.serving.api_client import ACCIDENT

pytestmark = [pytest.mark.realdata, pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]
CALLERS, SHARE = 4, 40


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, baac: Path) -> Iterator[Project]:
    """Two versions that learnt from 2018, by different seeds; the first is served behind the API."""
    project = make_project(tmp_path_factory.mktemp("real") / "a project")
    project.environment["ACCIDENTS_PORT"] = str(free_port())
    params = (project.folder / "params.yaml").read_text(encoding="utf-8")
    (project.folder / "other.yaml").write_text(params.replace("\nseed: 7", "\nseed: 8", 1), encoding="utf-8")
    year = ("--source", str(baac), "--years", "2018")
    try:
        project("--pipeline", "train", *year)
        project("--pipeline", "train", "--params", "other.yaml", *year)
        project("promote", "1")
        project("--pipeline", "deploy")
        project("serve", "--detach")
        yield project
    finally:
        kill_all_of(project.folder)


def ask(client: httpx.Client, caller: int, number: int) -> dict[str, Any]:
    own = {"accident_id": f"{caller}-{number}"}
    answer: dict[str, Any] = client.post("/predict", json=ACCIDENT | own).raise_for_status().json()
    assert answer["model"]["synthetic"] is False
    return answer


def test_what_a_person_does_with_versions_loses_no_request(served: Project) -> None:
    with Load(f"http://127.0.0.1:{served.environment['ACCIDENTS_PORT']}", ask, CALLERS) as load:

        def see(*roles: tuple[str, str]) -> None:
            """Wait until these (version, role), and no others, are answered."""
            load.wait(lambda: {_answered(answer) for answer in load.answers[-80:]} == set(roles))

        see(("1", "champion"))
        served("--pipeline", "deploy", "--version", "2", "--canary", str(SHARE))
        see(("1", "champion"), ("2", "challenger"))
        served("--pipeline", "deploy", "--version", "2", "--shadow")
        see(("1", "champion"))
        served("promote", "2")
        see(("2", "champion"))
        served("rollback")
        see(("1", "champion"))
    assert load.failed == []
    challenged = [answer for answer in load.answers if answer["model"]["role"] == "challenger"]
    assert all(is_in_share(answer["accident_id"], SHARE) for answer in challenged)
    with closing(PredictionLog(f"sqlite:///{served.folder / '.serving' / 'predictions.db'}")) as log:
        logged = {row["request_id"]: (row["model_version"], row["role"]) for row in log.read()}
    assert {answer["request_id"]: _answered(answer) for answer in load.answers} == logged
    print(Counter(logged.values()))


def _answered(answer: dict[str, Any]) -> tuple[str, str]:
    return answer["model"]["version"], answer["model"]["role"]
