"""Deploying as a person does it, and what may go wrong."""

import json
import os
import re
import shutil
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from accidents.bundle import load_bundle
from accidents.bundle.golden import make_golden
from commands.background import Background
from tests.pipelines.conftest import Project
from tests.pipelines.served import NAME, model_url, served_version, server_folder
from tests.processes import free_port, processes_of, words_of

pytestmark = [pytest.mark.slow, pytest.mark.server]


@pytest.fixture(scope="module")
def project(trained: Project) -> Iterator[Project]:
    """Two trained versions, the first one champion."""
    params = trained.folder / "params.yaml"
    params.write_text(params.read_text().replace("n_estimators: 60", "n_estimators: 50"))
    trained("--pipeline", "train")
    trained("promote", "1")
    yield trained
    trained("stop", check=False)


@pytest.fixture
def undeployed(project: Project) -> Project:
    """Nothing was ever deployed on the local stack."""
    root = server_folder(project).root
    if root.exists():
        project("stop")
        shutil.rmtree(root)
    return project


@pytest.fixture
def served(project: Project) -> Project:
    """Version 1, the champion, serves on the local stack."""
    if served_version(project) != "1":
        project("--pipeline", "deploy", "--version", "1")
    return project


@pytest.fixture
def own_api(project: Project, tmp_path: Path) -> Iterator[Project]:
    """Commands whose API has a port, keys and a log of this test's own, and ends with it."""
    own = Project(project.folder)
    own.environment |= {
        "ACCIDENTS_PORT": str(free_port()),
        "ACCIDENTS_KEYS_FILE": str(tmp_path / "keys.json"),
        "ACCIDENTS_DATABASE_URL": f"sqlite:///{tmp_path / 'predictions.db'}",
    }
    yield own
    Background(project.folder / ".serving", "api").stop()


def daemons(project: Project) -> list[psutil.Process]:
    """Model servers of the project, and who supervises them."""
    return processes_of(server_folder(project).root)


def asked(url: str, project: Project) -> tuple[str, list[float]]:
    """Version and probabilities that the endpoint at a URL gives for the golden rows of version 1."""
    request = json.dumps(make_golden(load_bundle(bundle(project, 1)), rows=5).request()).encode()
    sent = urllib.request.Request(url, request, {"Content-Type": "application/json"})
    with urllib.request.urlopen(sent, timeout=10) as answer:
        body: dict[str, Any] = json.load(answer)
    return body["model_version"], body["outputs"][0]["data"]


def bundle(project: Project, version: int) -> Path:
    """The stored bundle of a version: versions were trained in order."""
    bundles = (project.folder / ".zenml" / "artifacts" / "build_bundle" / "bundle").glob("*/*/files")
    return sorted(bundles, key=lambda path: path.stat().st_mtime)[version - 1]


def url_in(printed: str) -> str:
    address = re.search(r"127\.0\.0\.1:\d+", printed)
    assert address, printed
    return f"http://{address[0]}/v2/models/accident-severity-dispatch/infer"


def test_nothing_is_deployed_yet_and_status_says_what_to_do(undeployed: Project) -> None:
    status = undeployed("status").stdout
    assert "run.py --pipeline deploy" in status
    assert "not running" not in status


def test_an_unknown_version_is_refused_by_name(project: Project) -> None:
    done = project("--pipeline", "deploy", "--version", "9", check=False)
    assert done.returncode == 1
    assert "has no version '9'. There are: 1, 2" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_champion_serves_what_training_gave(undeployed: Project) -> None:
    printed = undeployed("--pipeline", "deploy").stdout
    assert "1,000 golden rows" in printed
    version, probabilities = asked(url_in(printed), undeployed)
    expected = make_golden(load_bundle(bundle(undeployed, 1)), rows=5).p_severe
    assert version == "1"
    assert probabilities == pytest.approx(expected.tolist(), abs=1e-6)
    assert "healthy" in undeployed("status").stdout


def test_what_runs_descends_from_the_training_and_makes_no_bundle_again(served: Project) -> None:
    served("--pipeline", "inference", "--input", "2022", "--reasons", "none")
    served("--pipeline", "monitor", "--input", "2022", "--decide-only")
    printed = served.python(
        """
import json
from zenml.client import Client
client, descent = Client(), {}
versions = [client.get_model_version("accident-severity-dispatch", number) for number in (1, 2)]
registered = {version.get_artifact("bundle").id for version in versions}
for pipeline, step in [("deploy", "deploy_model"), ("inference", "score_accidents"),
                       ("monitor", "decide_action")]:
    runs = client.list_pipeline_runs(pipeline=pipeline, status="completed", sort_by="desc:created").items
    bundle = runs[0].steps[step].inputs["bundle"][0]
    made = client.get_run_step(bundle.producer_step_run_id)
    trained = client.get_pipeline_run(made.pipeline_run_id).pipeline.name
    descent[pipeline] = [bundle.id in registered, made.name, trained]
print(json.dumps([descent, client.list_artifact_versions(artifact="bundle").total]))
"""
    )
    descent, bundles = json.loads(printed.strip().splitlines()[-1])
    assert descent == {
        pipeline: [True, "build_bundle", "train"] for pipeline in ("deploy", "inference", "monitor")
    }
    assert bundles == 2, "as many as were trained"


def test_a_killed_server_is_told_and_deploy_brings_it_back(served: Project) -> None:
    for daemon in daemons(served):
        os.kill(daemon.pid, signal.SIGKILL)
    assert "not running" in served("status").stdout
    printed = served("--pipeline", "deploy").stdout
    assert asked(url_in(printed), served)[0] == "1"


def test_the_endpoint_follows_a_champion_made_by_hand_and_back(served: Project) -> None:
    printed = served("promote", "2").stdout
    assert asked(url_in(printed), served)[0] == "2"
    printed = served("rollback").stdout
    assert asked(url_in(printed), served)[0] == "1"


def test_rollback_ends_a_trial_and_says_who_is_champion_still(served: Project) -> None:
    """A shadow, which answers nobody, must not keep a bad champion."""
    on_trial = ("--pipeline", "deploy", "--version", "1", "--shadow")
    served("promote", "2")
    served(*on_trial)
    said = " ".join(served("rollback").stdout.split())
    assert "The trial of version 1 (shadow) is over." in said
    assert "the champion is still version 2, as before. To take it back, run the same command again." in said
    assert served_version(served) == "2"
    served(*on_trial)
    said = served("rollback", "--champion").stdout
    assert "The trial of version 1 (shadow) is over." in said
    assert "version 1 is champion again; version 2 is not any more" in said
    assert served_version(served) == "1"
    assert server_folder(served).trials(NAME) == []


def test_an_altered_bundle_never_replaces_a_good_one(served: Project) -> None:
    trees = bundle(served, 2) / "model" / "trees.txt"
    good = trees.read_text()
    trees.write_text(good.replace("leaf_value=", "leaf_value=9 ", 1))
    done = served("--pipeline", "deploy", "--version", "2", check=False)
    trees.write_text(good)
    assert done.returncode == 1
    assert "trees.txt is altered" in done.stderr
    assert asked(url_in(served("status").stdout), served)[0] == "1"


def test_the_api_in_the_background_is_asked_keyed_and_stopped(served: Project, own_api: Project) -> None:
    port = own_api.environment["ACCIDENTS_PORT"]
    printed = own_api("serve", "--detach").stdout
    assert f"curl -s http://127.0.0.1:{port}/predict" in printed
    assert "runs already" in own_api("serve", "--detach", check=False).stderr
    called = own_api.shell(sys.executable, "-m", "commands.call").stdout
    assert re.search(r"The example: \d+\.\d%, (low|moderate|high|very high)", called)
    status = own_api("status").stdout
    assert f"ready at http://127.0.0.1:{port}" in status
    assert "3 in the log" in status

    made = own_api("keys", "new", "--name", "control-room").stdout
    key = re.search(r"acc_\S+", made)
    assert key is not None
    refused = own_api.shell(sys.executable, "-m", "commands.call", check=False)
    assert refused.returncode == 1
    assert "401" in refused.stdout
    own_api.environment["ACCIDENTS_API_KEY"] = key[0]
    own_api.shell(sys.executable, "-m", "commands.call")
    assert (
        '-H "X-API-Key: $ACCIDENTS_API_KEY"'
        in own_api.shell(sys.executable, "-m", "commands.call", "--how").stdout
    )
    own_api("keys", "revoke", "control-room")
    assert own_api.shell(sys.executable, "-m", "commands.call", check=False).returncode == 1


def test_an_option_that_does_nothing_here_is_refused(project: Project) -> None:
    done = project("status", "--detach", check=False)
    assert done.returncode == 2
    assert "--detach does not go with run.py status, but with: serve." in done.stderr


def test_stop_leaves_nothing_behind_and_deploy_brings_it_back(served: Project) -> None:
    assert daemons(served)
    served("stop")
    assert daemons(served) == []
    assert "not running" in served("status").stdout
    assert asked(url_in(served("--pipeline", "deploy").stdout), served)[0] == "1"


def test_zenmls_own_deployer_serves_the_same_version(project: Project) -> None:
    printed = project("--pipeline", "deploy", "--version", "1", "--stack", "local-mlflow").stdout
    assert "1,000 golden rows" in printed
    again = project("--pipeline", "deploy", "--version", "2", "--stack", "local-mlflow").stdout
    assert "version 2 (before: 1)" in again
    assert "invocations" in again
    running = [process for process in psutil.process_iter() if serves_mlflow(project, process)]
    refused = project("serve", "--stack", "local-mlflow", check=False)
    assert "Open Inference Protocol" in refused.stderr
    project("stop", "--stack", "local-mlflow")
    gone, _ = psutil.wait_procs(running, timeout=10)
    assert len(gone) == len(running) > 0


def test_seldons_own_server_serves_the_same_and_the_api_is_refused_in_words(project: Project) -> None:
    stack = ("--stack", "local-seldon")
    printed = project("--pipeline", "deploy", "--version", "1", *stack).stdout
    assert "1,000 golden rows" in printed
    assert "/api/v1.0/predictions" in printed
    status = project("status", *stack).stdout
    assert "healthy" in status
    assert "nobody brings its server back" in " ".join(status.split())
    refused = project("serve", *stack, check=False)
    assert "Open Inference Protocol" in refused.stderr
    assert "--stack local" in refused.stderr
    running = [one for one in processes_of(project.folder) if "serving.seldon" in words_of(one)]
    project("stop", *stack)
    gone, _ = psutil.wait_procs(running, timeout=10)
    assert len(gone) == len(running) == 2


def serves_mlflow(project: Project, process: psutil.Process) -> bool:
    """Whether it is a server of MLflow's that was started from this project's store."""
    try:
        return "mlflow" in " ".join(process.cmdline()) and str(project.folder) in str(process.environ())
    except psutil.Error:
        return False


def test_bentoml_serves_the_same_to_the_api_and_comes_back(served: Project, own_api: Project) -> None:
    own_api.environment["BENTOML_PORT"] = str(free_port())
    stack = ("--stack", "local-bento")
    ours = asked(f"{model_url(served)}/infer", served)
    printed = own_api("--pipeline", "deploy", "--version", "1", *stack).stdout
    assert "1,000 golden rows" in printed
    number, answers = asked(url_in(printed), served)
    assert (number, answers) == ("1", pytest.approx(ours[1], rel=0, abs=1e-6))

    own_api("serve", "--detach", *stack)
    assert version_that_answers(own_api) == "1"
    own_api("--pipeline", "deploy", "--version", "2", *stack)
    assert version_that_answers(own_api) == "2", "the API asks where it asked"

    worker, arbiter = sorted(bentoml_of(served), key=lambda process: len(process.children()))
    arbiter.kill()
    assert "deploy again" in own_api("status", *stack).stdout, "the worker answers, and nobody brings it back"
    worker.kill()
    assert "its server has ended" in own_api("status", *stack).stdout
    own_api("--pipeline", "deploy", "--version", "2", *stack)
    assert "healthy" in own_api("status", *stack).stdout
    own_api("stop", *stack)
    assert bentoml_of(served) == []


def version_that_answers(project: Project) -> str:
    """That which the API had its answer from."""
    accident = (project.folder / "references" / "accident.json").read_bytes()
    url = f"http://127.0.0.1:{project.environment['ACCIDENTS_PORT']}/predict"
    sent = urllib.request.Request(url, accident, {"Content-Type": "application/json"})
    with urllib.request.urlopen(sent, timeout=30) as answer:
        return str(json.load(answer)["model"]["version"])


def bentoml_of(project: Project) -> list[psutil.Process]:
    """BentoML's processes that serve from this project: its arbiter and the worker."""
    return processes_of(project.folder / ".serving" / "bento")
