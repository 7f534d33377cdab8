"""Two project folders at one ZenML server, as two people have them: real server, MariaDB, artifacts in S3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipelines.conftest import Project
from tests.platform_parts import (
    S3_SECRET,
    Server,
    running_mariadb,
    running_s3,
    running_zenml,
    service_account_key,
)
from tests.processes import kill_all_of
from tests.servers.conftest import interrupted, s3_settings, tiny_project, write_settings

VERSIONS = """
import json
from steps.support import champion_and_versions
known = champion_and_versions.versions(champion_and_versions.model_name("dispatch"))
print(json.dumps([
    {"number": one.number, "stage": str(one.stage or ""), "promotion": champion_and_versions._promotion(one),
     "judged": one.description or ""} for one in known
]))
"""
STORED = """
import json, yaml
from zenml.client import Client
runs = sorted(str(one.id) for one in Client().list_pipeline_runs(size=100).items)
print(json.dumps({"runs": runs, "export": yaml.safe_dump(Client().get_stack("team").to_yaml())}))
"""


@dataclass(frozen=True)
class Team:
    """Two who use one server, each with a folder and a service account's key."""

    ann: Project
    ben: Project
    server: Server


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Ann has applied the stack."""
    folder = tmp_path_factory.mktemp("shared")
    with ExitStack() as held:
        s3 = held.enter_context(running_s3(folder / "s3", "zenml"))
        database = held.enter_context(running_mariadb())
        server = held.enter_context(running_zenml(folder / "zenml", database))
        ann, ben = (_project(folder / name, trees) for name, trees in (("ann", 30), ("ben", 25)))
        for project in (ann, ben):
            held.callback(kill_all_of, project.folder)
            key = service_account_key(server, project.folder.name)
            project.environment |= {"ZENML_STORE_URL": server.url, "ZENML_STORE_API_KEY": key}
        write_settings(ann, s3_settings(s3))
        ann("stack", "apply", "team")
        (ann.folder / ".env").unlink()
        yield Team(ann, ben, server)


def _project(folder: Path, trees: int) -> Project:
    """A copy with a stack whose artifacts both can reach, and an experiment of its own."""
    project = tiny_project(folder, trees)
    staging = yaml.safe_load((folder / "stacks" / "staging.yaml").read_text(encoding="utf-8"))
    needed = ("orchestrator", "artifact_store", "model_deployer")
    components = {kind: staging["components"][kind] for kind in needed}
    team = {"name": "team", "description": "Of two people.", "components": components}
    (folder / "stacks" / "team.yaml").write_text(yaml.safe_dump(team), encoding="utf-8")
    return project


def versions(project: Project) -> list[dict[str, Any]]:
    return json.loads(project.python(VERSIONS).splitlines()[-1])


def champion_of(project: Project) -> int:
    return next(one["number"] for one in versions(project) if one["stage"] == "production")


def test_who_has_the_servers_key_has_the_stack_and_needs_no_other_secret(
    team: Team,
) -> None:
    for project in (team.ann, team.ben):
        listed = project("stack", "list").stdout
        assert "applied" in next(line for line in listed.splitlines() if line.startswith(" team"))
        assert "wrote, read and deleted an object" in project("stack", "check", "team").stdout
    refused = team.ben("--pipeline", "train", "--stack", "bare", check=False)
    assert "has not been applied" in refused.stderr


def test_two_trainings_at_once_end_with_one_champion_that_was_held_against_the_other(
    team: Team,
) -> None:
    running = [project.start("--pipeline", "train", "--stack", "team") for project in (team.ann, team.ben)]
    said = [one.communicate(900)[0] for one in running]
    assert [one.wait(60) for one in running] == [0, 0], said
    known = versions(team.ann)
    assert known == versions(team.ben)
    assert [one["stage"] for one in known].count("production") == 1, known
    promoted = sorted((one for one in known if one["promotion"]), key=lambda one: one["promotion"]["at"])
    champion = next(one for one in known if one["stage"] == "production")
    assert champion == promoted[-1]
    assert promoted[0]["promotion"]["replaced"] == "", "the first had nobody to be held against"
    if len(promoted) == 2:
        assert champion["promotion"]["replaced"] == str(promoted[0]["number"])
    else:
        other = next(one for one in known if one is not champion)
        assert f"version {champion['number']}" in other["judged"], "it was judged against the true champion"


def test_what_one_promotes_the_other_deploys(team: Team) -> None:
    ann, ben = team.ann, team.ben
    champion = champion_of(ann)
    other = next(one["number"] for one in versions(ann) if one["number"] != champion)
    assert f"version {champion} serves" in _line(ben("--pipeline", "deploy", "--stack", "team").stdout)
    ann("promote", str(other), "--stack", "team")
    assert "not the champion" in ben("status", "--stack", "team").stdout
    assert f"version {other}" in _line(ben("--pipeline", "deploy", "--stack", "team").stdout)
    here = Path(ben.folder) / ".serving" / "model-server"
    assert here.is_dir()
    assert not (ann.folder / ".serving" / "model-server").exists(), "each serves in a folder of their own"
    ben("stop", "--stack", "team")
    ben("rollback", "--stack", "team")
    assert champion_of(ann) == champion


def test_what_one_ran_the_other_sees_and_no_secret_with_it(team: Team) -> None:
    monitor = ("--pipeline", "monitor", "--input", "2022", "--decide-only", "--stack", "team")
    assert "Traceback" not in team.ben(*monitor).stderr
    anns, bens = (json.loads(one.python(STORED).splitlines()[-1]) for one in (team.ann, team.ben))
    assert anns == bens
    assert len(anns["runs"]) >= len(("two trainings", "a deployment", "another", "a look"))
    assert "client_kwargs" in anns["export"]
    assert S3_SECRET not in anns["export"]


def test_a_server_that_is_restarted_in_the_middle_of_a_run_is_waited_for(team: Team) -> None:
    def restart() -> None:
        team.server.stop()
        team.server.start()

    command = "--pipeline inference --input 2022 --stack team"
    code, said = interrupted(team.ann, command, "build input features", restart)
    assert code == 0, said


def _line(text: str) -> str:
    return " ".join(text.split())
