"""Deploying as a person does it, and what may go wrong; the tests run in order."""

import json
import os
import re
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from accidents.bundle import load_bundle
from accidents.bundle.golden import golden_of
from tests.pipelines.conftest import Project
from tests.processes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.server]


@pytest.fixture(scope="module")
def project(trained: Project) -> Iterator[Project]:
    """Two trained versions, the first one champion, nothing deployed."""
    params = trained.folder / "params.yaml"
    params.write_text(params.read_text().replace("n_estimators: 60", "n_estimators: 50"))
    trained("--pipeline", "train")
    trained("promote", "1")
    yield trained
    trained("stop", check=False)


def daemons(project: Project) -> list[psutil.Process]:
    """Processes that were started from the project's folder of servers."""
    folder = str(project.folder / ".serving")
    return [one for one in psutil.process_iter() if folder in " ".join(command(one))]


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def asked(url: str, project: Project) -> tuple[str, list[float]]:
    """Version and probabilities that the endpoint gives for the golden rows of version 1."""
    request = json.dumps(golden_of(load_bundle(bundle(project, 1)), rows=5).request()).encode()
    sent = urllib.request.Request(url, request, {"Content-Type": "application/json"})
    with urllib.request.urlopen(sent, timeout=10) as answer:
        body: dict[str, Any] = json.load(answer)
    return body["model_version"], body["outputs"][0]["data"]


def bundle(project: Project, version: int) -> Path:
    """The stored bundle of a version: versions were trained in order."""
    bundles = (project.folder / ".zenml" / "artifacts" / "build_bundle" / "bundle").glob("*/*/files")
    return sorted(bundles, key=lambda path: path.stat().st_mtime)[version - 1]


def url_in(said: str) -> str:
    found = re.search(r"127\.0\.0\.1:\d+", said)
    assert found, said
    return f"http://{found[0]}/v2/models/accident-severity-dispatch/infer"


def test_nothing_is_deployed_yet_and_status_says_what_to_do(project: Project) -> None:
    assert "run.py --pipeline deploy" in project("status").stdout


def test_an_unknown_version_is_refused_by_name(project: Project) -> None:
    done = project("--pipeline", "deploy", "--version", "9", check=False)
    assert done.returncode == 1
    assert "has no version '9'. There are: 1, 2" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_champion_serves_what_training_gave(project: Project) -> None:
    said = project("--pipeline", "deploy").stdout
    assert "1,000 golden rows" in said
    version, probabilities = asked(url_in(said), project)
    expected = golden_of(load_bundle(bundle(project, 1)), rows=5).p_severe
    assert version == "1"
    assert probabilities == pytest.approx(expected.tolist(), abs=1e-6)
    assert "healthy" in project("status").stdout


def test_what_runs_descends_from_the_training_and_makes_no_bundle_again(project: Project) -> None:
    project("--pipeline", "inference", "--input", "2022", "--reasons", "none")
    project("--pipeline", "monitor", "--input", "2022", "--decide-only")
    printed = project.python(
        """
import json
from zenml.client import Client
client, found = Client(), {}
for pipeline, step in [("deploy", "deploy_model"), ("inference", "score_accidents"),
                       ("monitor", "decide_action")]:
    run = client.list_pipeline_runs(pipeline=pipeline, sort_by="desc:created").items[0]
    bundle = run.steps[step].inputs["bundle"][0]
    version = client.get_model_version("accident-severity-dispatch", 1)
    same = bundle.id == version.get_artifact("bundle").id
    made = client.get_run_step(bundle.producer_step_run_id)
    found[pipeline] = [same, made.name, client.get_pipeline_run(made.pipeline_run_id).pipeline.name]
print(json.dumps([found, client.list_artifact_versions(artifact="bundle").total]))
"""
    )
    found, bundles = json.loads(printed.strip().splitlines()[-1])
    assert found == {one: [True, "build_bundle", "train"] for one in ("deploy", "inference", "monitor")}
    assert bundles == 2, "as many as were trained"


def test_a_killed_server_is_told_and_deploy_brings_it_back(project: Project) -> None:
    for daemon in daemons(project):
        os.kill(daemon.pid, signal.SIGKILL)
    assert "not running" in project("status").stdout
    said = project("--pipeline", "deploy").stdout
    assert asked(url_in(said), project)[0] == "1"


def test_the_endpoint_follows_a_champion_made_by_hand_and_back(project: Project) -> None:
    said = project("promote", "2").stdout
    assert asked(url_in(said), project)[0] == "2"
    said = project("rollback").stdout
    assert asked(url_in(said), project)[0] == "1"


def test_an_altered_bundle_never_replaces_a_good_one(project: Project) -> None:
    trees = bundle(project, 2) / "model" / "trees.txt"
    good = trees.read_text()
    trees.write_text(good.replace("leaf_value=", "leaf_value=9 ", 1))
    done = project("--pipeline", "deploy", "--version", "2", check=False)
    trees.write_text(good)
    assert done.returncode == 1
    assert "trees.txt is altered" in done.stderr
    assert asked(url_in(project("status").stdout), project)[0] == "1"


def test_the_api_in_the_background_is_asked_keyed_and_stopped(project: Project) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    project.environment["ACCIDENTS_PORT"] = str(port)
    said = project("serve", "--detach").stdout
    assert f"curl -s http://127.0.0.1:{port}/predict" in said
    assert "runs already" in project("serve", "--detach", check=False).stderr
    called = project.shell(sys.executable, "-m", "commands.call").stdout
    assert re.search(r"The example: \d+\.\d%, (low|moderate|high|very high)", called)
    status = project("status").stdout
    assert f"ready at http://127.0.0.1:{port}" in status
    assert "3 in the log" in status

    key = new_key(project)
    refused = project.shell(sys.executable, "-m", "commands.call", check=False)
    assert refused.returncode == 1
    assert "401" in refused.stdout
    project.environment["ACCIDENTS_API_KEY"] = key
    project.shell(sys.executable, "-m", "commands.call")
    assert (
        '-H "X-API-Key: $ACCIDENTS_API_KEY"'
        in project.shell(sys.executable, "-m", "commands.call", "--how").stdout
    )
    project("keys", "revoke", "test")
    assert project.shell(sys.executable, "-m", "commands.call", check=False).returncode == 1


def test_an_option_that_does_nothing_here_is_refused(project: Project) -> None:
    done = project("status", "--detach", check=False)
    assert done.returncode == 2
    assert "--detach does not go with run.py status, but with: serve." in done.stderr


def test_stop_leaves_nothing_behind_and_deploy_brings_it_back(project: Project) -> None:
    assert daemons(project)
    project("stop")
    assert daemons(project) == []
    assert "not running" in project("status").stdout
    assert asked(url_in(project("--pipeline", "deploy").stdout), project)[0] == "1"


def test_zenmls_own_deployer_serves_the_same_version(project: Project) -> None:
    said = project("--pipeline", "deploy", "--stack", "local-mlflow").stdout
    assert "1,000 golden rows" in said
    again = project("--pipeline", "deploy", "--version", "2", "--stack", "local-mlflow").stdout
    assert "version 2 (before: 1)" in again
    served = [one for one in psutil.process_iter() if "invocations" in again and serves_mlflow(project, one)]
    refused = project("serve", "--stack", "local-mlflow", check=False)
    assert "Open Inference Protocol" in refused.stderr
    project("stop", "--stack", "local-mlflow")
    gone, _ = psutil.wait_procs(served, timeout=10)
    assert len(gone) == len(served) > 0


def serves_mlflow(project: Project, process: psutil.Process) -> bool:
    """Whether it is a server of MLflow's that was started from this project's store."""
    return "mlflow" in " ".join(command(process)) and str(project.folder) in str(environ(process))


def environ(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def test_bentoml_serves_the_same_to_the_api_and_comes_back(project: Project) -> None:
    project.environment["BENTOML_PORT"] = str(free_port())
    stack = ("--stack", "local-bento")
    ours = asked(url_in(project("--pipeline", "deploy", "--version", "1").stdout), project)
    said = project("--pipeline", "deploy", "--version", "1", *stack).stdout
    assert "1,000 golden rows" in said
    number, answers = asked(url_in(said), project)
    assert (number, answers) == ("1", pytest.approx(ours[1], rel=0, abs=1e-6))

    project.environment["ACCIDENTS_PORT"] = str(free_port())
    project.environment["ACCIDENTS_API_KEY"] = new_key(project)
    project("serve", "--detach", *stack)
    assert version_that_answers(project) == "1"
    project("--pipeline", "deploy", "--version", "2", *stack)
    assert version_that_answers(project) == "2", "the API asks where it asked"

    worker, arbiter = sorted(bentoml_of(project), key=lambda one: len(one.children()))
    arbiter.kill()
    assert "deploy again" in project("status", *stack).stdout, "the worker answers, and nobody brings it back"
    worker.kill()
    assert "its server has ended" in project("status", *stack).stdout
    project("--pipeline", "deploy", "--version", "2", *stack)
    assert "healthy" in project("status", *stack).stdout
    project("stop", *stack)
    assert bentoml_of(project) == []


def new_key(project: Project) -> str:
    made = re.search(r"acc_\S+", project("keys", "new", "--name", "test").stdout)
    assert made
    return made[0]


def version_that_answers(project: Project) -> str:
    """That which the API had its answer from."""
    accident = (project.folder / "references" / "accident.json").read_bytes()
    url = f"http://127.0.0.1:{project.environment['ACCIDENTS_PORT']}/predict"
    key = project.environment["ACCIDENTS_API_KEY"]
    sent = urllib.request.Request(url, accident, {"Content-Type": "application/json", "X-API-Key": key})
    with urllib.request.urlopen(sent, timeout=30) as answer:
        return str(json.load(answer)["model"]["version"])


def bentoml_of(project: Project) -> list[psutil.Process]:
    """BentoML's processes that serve from this project: its arbiter and the worker."""
    home = str(project.folder / ".serving" / "bento")
    return [one for one in psutil.process_iter() if home in " ".join([*command(one), working_folder(one)])]


def working_folder(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""
