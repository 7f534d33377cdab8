"""Two project folders at one ZenML server, as two people have them: MariaDB, artifacts in S3, MLflow."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import yaml

from tests.conftest import ROOT
from tests.containers.engine import ask
from tests.pipelines.conftest import Project
from tests.platform_parts import (
    PASSWORD,
    S3_SECRET,
    Server,
    revoke_key,
    running_mariadb,
    running_mlflow,
    running_s3,
    running_zenml,
    service_account_key,
)
from tests.processes import free_port, kill_all_of
from tests.servers.conftest import interrupted, s3_settings, tiny_project, write_settings

SAID: list[str] = []  # by the commands of every test that gives or takes a secret
VERSIONS = """
import json
from steps.support import champion_and_versions
known = champion_and_versions.versions(champion_and_versions.model_name(STAGE))
print(json.dumps([
    {"number": one.number, "stage": str(one.stage or ""), "promotion": champion_and_versions._promotion(one),
     "judged": one.description or ""} for one in known
]))
"""
SECRET = f"""
from zenml.client import Client
Client().create_secret("mlflow", {{"password": {PASSWORD!r}}})
"""
# Each has a log of their own, in their folder.
LOG_SECRET = """
from zenml.client import Client
Client().create_secret("accidents", {"database_url": "sqlite:///.serving/predictions.db"})
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
    database: str  # address of the server's
    folder: Path  # of all of them


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Ann has applied the stack."""
    folder = tmp_path_factory.mktemp("shared")
    with ExitStack() as held:
        s3 = held.enter_context(running_s3(folder / "s3", "zenml", "mlflow"))
        runs = f"sqlite:///{folder}/mlflow.db"
        mlflow = held.enter_context(running_mlflow(folder / "mlflow", runs, s3, "mlflow"))
        database = held.enter_context(running_mariadb())
        server = held.enter_context(running_zenml(folder / "zenml", database))
        ann, ben = (_project(folder / name, trees) for name, trees in (("ann", 30), ("ben", 25)))
        for project in (ann, ben):
            held.callback(kill_all_of, project.folder)
            key = service_account_key(server, project.folder.name)
            project.environment |= {"ZENML_STORE_URL": server.url, "ZENML_STORE_API_KEY": key}
        ann.python(SECRET)
        write_settings(ann, s3_settings(s3) | {"MLFLOW_SERVER": mlflow.url})
        ann("stack", "apply", "team")
        (ann.folder / ".env").unlink()
        yield Team(ann, ben, server, database, folder)


def _project(folder: Path, trees: int) -> Project:
    """A copy with a stack whose artifacts both can reach, and an experiment of its own."""
    project = tiny_project(folder, trees)
    team = yaml.safe_load((folder / "stacks" / "staging.yaml").read_text(encoding="utf-8"))
    tracker = team["components"]["experiment_tracker"]["config"]
    tracker["tracking_password"] = "{{mlflow.password}}"
    told = {"name": "team", "description": "Of two people."}
    (folder / "stacks" / "team.yaml").write_text(yaml.safe_dump(team | told), encoding="utf-8")
    return project


def versions(project: Project, stage: str = "dispatch") -> Any:
    return json.loads(project.python(f"STAGE = {stage!r}\n{VERSIONS}").splitlines()[-1])


def champion_of(project: Project) -> int:
    return next(one["number"] for one in versions(project) if one["stage"] == "production")


def test_who_has_the_servers_key_has_the_stack_and_needs_no_other_secret(
    team: Team,
) -> None:
    for project in (team.ann, team.ben):
        listed = project("stack", "list").stdout
        assert "applied" in next(line for line in listed.splitlines() if line.startswith(" team"))
        assert "wrote, read and deleted an object" in project("stack", "check", "team", check=False).stdout
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


def test_who_opens_the_prediction_log_is_told_how_all_learn_where_it_is(team: Team) -> None:
    """Until here nobody needed that."""
    for words in (("stack", "check", "team"), ("--pipeline", "monitor", "--stack", "team")):
        refused = team.ben(*words, check=False)
        said = _line(refused.stdout + refused.stderr)
        assert refused.returncode == 1
        assert "needs the environment variable PREDICTIONS_DATABASE_PASSWORD, which is not set" in said
        assert "unless ACCIDENTS_DATABASE_URL says" in said
        assert "zenml secret create accidents --database_url=" in said
        assert "Traceback" not in said
    team.ann.python(LOG_SECRET)
    assert "ok prediction log: " in _line(team.ben("stack", "check", "team").stdout)


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


@pytest.mark.parametrize("who", ["ann", "ben"])
def test_every_other_command_works_for_each(team: Team, who: str) -> None:
    project: Project = getattr(team, who)
    project.environment["ACCIDENTS_PORT"] = port = str(free_port())
    assert "is up to date" in _typed(project, "database upgrade --stack team")
    _typed(project, "--pipeline deploy --stack team")
    caller, _ = (_key(project, f"keys new --name {words}") for words in ("caller", "alertmanager --hook"))
    assert "caller" in _typed(project, "keys list")
    try:
        _typed(project, "serve --detach --stack team")
        accident = json.loads((ROOT / "references" / "accident.json").read_text(encoding="utf-8"))
        answer = ask(f"http://127.0.0.1:{port}/predict", accident, caller)
        assert answer["model"]["version"] == str(champion_of(team.ann))
        assert "healthy" in _typed(project, "status --stack team")
    finally:
        _typed(project, "stop --stack team")
    _typed(project, "keys revoke caller")
    _typed(project, "data download 2022")
    assert "2022: 1,500 accidents" in _typed(project, "data check 2022")
    _typed(project, "--pipeline inference --input 2022 --stack team")
    _typed(project, "clean --yes --stack team")
    assert (
        project("--pipeline", "monitor", "--only", "verify", "--stack", "team", check=False).returncode == 99
    )


def test_one_replays_what_would_have_been_decided(team: Team) -> None:
    before = versions(team.ann)
    _typed(team.ben, "replay 2019-2021 --stack team")
    assert (team.ben.folder / "reports" / "replay" / "replay.json").is_file()
    assert versions(team.ann) == before


def test_the_loop_of_one_ends_with_what_the_other_sees(team: Team) -> None:
    known = versions(team.ann)
    _typed(team.ben, "--pipeline deploy --stack team")
    _typed(team.ben, "--pipeline monitor --input 2023 --stack team")
    now = versions(team.ann)
    assert len(now) == len(known) + 1, "a year's labels have come in"
    served = _line(_typed(team.ben, "status --stack team"))
    assert f"version {champion_of(team.ann)}" in served
    _typed(team.ben, "stop --stack team")


def _revoked(team: Team) -> None:
    revoke_key(team.server, team.ann.folder.name)


def _gone(team: Team) -> None:
    team.server.stop()


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (_gone, "It came from ZenML's server. Nothing answers there. Start the server"),
        (
            _revoked,
            "It came from ZenML's server. It does not take the key: it is wrong, revoked or expired. Set",
        ),
    ],
)
def test_a_server_that_is_gone_for_good_or_a_key_that_is_revoked_in_the_middle_is_told(
    team: Team, event: Callable[[Team], None], told: str
) -> None:
    command = "--pipeline train --stage on_scene --stack team"
    code, said = interrupted(team.ann, command, "train model", lambda: event(team))
    SAID.append(said)
    if not team.server.answers():
        team.server.start()
    assert code == 1
    assert told in said
    assert "Traceback" not in said
    assert versions(team.ben, "on_scene") == []


def test_no_key_is_in_anything_that_was_written(team: Team) -> None:
    keys = [one.environment["ZENML_STORE_API_KEY"] for one in (team.ann, team.ben)]
    shown = [key for said in SAID for key in _keys_in(said)]
    assert len(shown) == len(("a caller", "a hook")) * 2
    said = "\n".join(SAID)
    assert not [key for key in (*keys, PASSWORD, S3_SECRET) if key in said]
    hidden = [*keys, *shown, PASSWORD, S3_SECRET]
    assert not _found(hidden, everything_in(team.database).encode())
    files = [path for path in team.folder.rglob("*") if path.is_file()]
    assert any(path.name == "bundle.json" for path in files)
    assert any(path.name == "server.log" for path in files)
    assert not {str(path): found for path in files if (found := _found(hidden, path.read_bytes()))}


def _typed(project: Project, command: str) -> str:
    """What `run.py COMMAND` says."""
    done = project(*command.split())
    SAID.append(done.stdout + done.stderr)
    return done.stdout


def _key(project: Project, command: str) -> str:
    """The key that this command shows."""
    (key,) = _keys_in(_typed(project, command))
    return key


def _keys_in(text: str) -> list[str]:
    return re.findall(r"^  (acc_\S+)$", text, re.MULTILINE)


def _found(secrets: list[str], content: bytes) -> list[str]:
    """Those that are in it, also as ZenML would hide them."""
    return [
        one for one in secrets if one.encode() in content or base64.b64encode(one.encode())[:-3] in content
    ]


def everything_in(address: str) -> str:
    """Every row of a database of MariaDB."""
    with sqlalchemy.create_engine(address.replace("mysql:", "mysql+pymysql:")).connect() as connection:
        tables = sqlalchemy.inspect(connection).get_table_names()
        rows = [str(row) for name in tables for row in connection.exec_driver_sql(f"SELECT * FROM `{name}`")]
    assert rows
    return "\n".join(rows)


def _line(text: str) -> str:
    return " ".join(text.split())
