"""Two project folders at one ZenML server, as two people have them: real server, MariaDB, artifacts in S3."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipelines.conftest import Project, make_project
from tests.platform_parts import (
    S3_KEY,
    S3_SECRET,
    running_mariadb,
    running_s3,
    running_zenml,
    service_account_key,
)
from tests.processes import kill_all_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.timeout(1800),
    pytest.mark.skipif("PLATFORM_TESTS" not in os.environ, reason="takes minutes: PLATFORM_TESTS=1 runs it"),
]

VERSIONS = """
import json
from steps.support import registry
known = registry.versions(registry.model_name("dispatch"))
print(json.dumps([
    {"number": one.number, "stage": str(one.stage or ""), "promotion": registry._promotion(one),
     "judged": one.description or ""} for one in known
]))
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Project]]:
    """Two folders, each with a service account's key; one has applied the stack."""
    folder = tmp_path_factory.mktemp("shared")
    with ExitStack() as held:
        s3 = held.enter_context(running_s3(folder / "s3", "zenml"))
        database = held.enter_context(running_mariadb())
        server = held.enter_context(running_zenml(folder / "zenml", database))
        made = [_project(folder / name, trees) for name, trees in (("ann", 30), ("ben", 25))]
        for project in made:
            held.callback(kill_all_of, project.folder)
            key = service_account_key(server, project.folder.name)
            project.environment |= {"ZENML_STORE_URL": server.url, "ZENML_STORE_API_KEY": key}
        ann, ben = made
        secrets = {"S3_ENDPOINT": s3.url, "S3_ACCESS_KEY": S3_KEY, "S3_SECRET_KEY": S3_SECRET}
        ann.environment |= secrets
        ann("stack", "apply", "team")
        for name in secrets:
            del ann.environment[name]
        yield ann, ben


def _project(folder: Path, trees: int) -> Project:
    """A copy with a stack whose artifacts both can reach, and an experiment of its own."""
    project = make_project(folder)
    staging = yaml.safe_load((folder / "stacks" / "staging.yaml").read_text(encoding="utf-8"))
    needed = ("orchestrator", "artifact_store", "model_deployer")
    components = {kind: staging["components"][kind] for kind in needed}
    team = {"name": "team", "description": "Of two people.", "components": components}
    (folder / "stacks" / "team.yaml").write_text(yaml.safe_dump(team), encoding="utf-8")
    params = folder / "params.yaml"
    text = params.read_text(encoding="utf-8").replace("n_estimators: 60", f"n_estimators: {trees}")
    params.write_text(text.replace("accidents_per_year: 4000", "accidents_per_year: 1500"), encoding="utf-8")
    return project


def versions(project: Project) -> list[dict[str, Any]]:
    return json.loads(project.python(VERSIONS).splitlines()[-1])


def test_who_has_the_servers_key_has_the_stack_and_needs_no_other_secret(
    people: tuple[Project, Project],
) -> None:
    for project in people:
        listed = project("stack", "list").stdout
        assert "applied" in next(line for line in listed.splitlines() if line.startswith(" team"))
        assert "wrote, read and deleted an object" in project("stack", "check", "team").stdout
    refused = people[1]("--pipeline", "train", "--stack", "bare", check=False)
    assert "has not been applied" in refused.stderr


def test_two_trainings_at_once_end_with_one_champion_that_was_held_against_the_other(
    people: tuple[Project, Project],
) -> None:
    running = [project.start("--pipeline", "train", "--stack", "team") for project in people]
    said = [one.communicate(900)[0] for one in running]
    assert [one.wait(60) for one in running] == [0, 0], said
    known = versions(people[0])
    assert known == versions(people[1])
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


def test_what_one_promotes_the_other_deploys(people: tuple[Project, Project]) -> None:
    ann, ben = people
    champion = next(one["number"] for one in versions(ann) if one["stage"] == "production")
    other = next(one["number"] for one in versions(ann) if one["number"] != champion)
    assert f"version {champion} serves" in _line(ben("--pipeline", "deploy", "--stack", "team").stdout)
    ann("promote", str(other), "--stack", "team")
    assert "not the champion" in ben("status", "--stack", "team").stdout
    assert f"version {other}" in _line(ben("--pipeline", "deploy", "--stack", "team").stdout)
    here = Path(ben.folder) / ".serving" / "model-server"
    assert here.is_dir()
    assert not (ann.folder / ".serving" / "model-server").exists(), "each serves in a folder of their own"
    ben("stop", "--stack", "team")


def _line(text: str) -> str:
    return " ".join(text.split())
