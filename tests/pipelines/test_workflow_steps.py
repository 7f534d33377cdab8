"""The steps of the workflows that run pipelines, in order: a model report, staging, a model taken back."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from commands.background import Background
from tests.benchmarks.fake_github import REPOSITORY, TOKEN, fake_github
from tests.conftest import ROOT
from tests.pipelines.conftest import Project
from tests.pipelines.served import served_version
from tests.processes import free_port
from tests.workflows import jobs
from tests.workflows.clone import git, stamps_fit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
]

BUT = {"make smoke URL=deployment/accidents-api": "it asks a cluster: tests/containers/test_release.py"}
STACK = "local"


@pytest.fixture(scope="module")
def checkout(trained: Project) -> Project:
    """A project with a champion, and what a checkout has beside: a commit, Makefile, .ci, an environment."""
    shutil.copy(ROOT / "Makefile", trained.folder)
    shutil.copytree(ROOT / ".ci", trained.folder / ".ci")
    (trained.folder / ".gitignore").write_text((ROOT / ".gitignore").read_text() + ".venv\n")
    (trained.folder / ".venv").symlink_to(Path(sys.prefix))
    stamps_fit(trained.folder)
    git(trained.folder, "add", "--all")
    git(trained.folder, "commit", "--quiet", "--message", "all of it")
    return trained


def test_a_pull_request_gets_its_report(checkout: Project) -> None:
    """Of a branch that changes nothing: both sides are one commit, which is trained once."""
    commit = git(checkout.folder, "rev-parse", "HEAD")
    with fake_github() as github:
        context = {
            "github.event.pull_request.base.sha": commit, "github.event.pull_request.number": "12",
            "github.event.pull_request.head.repo.full_name": REPOSITORY, "github.repository": REPOSITORY,
            "github.token": TOKEN,
        }  # fmt: skip
        there = {**checkout.environment, "GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": REPOSITORY}
        made = jobs.run(jobs.job("model-report", "report"), checkout.folder, context, there, BUT)
        assert made.well
        assert "No metric changes." in made.summary
        assert jobs.run(jobs.job("model-report", "comment"), checkout.folder, context, there, BUT).well
        assert [comment["body"] for comment in github.comments] == [made.summary]
    assert len(list((checkout.folder / ".cache" / "reports").iterdir())) == 1
    assert re.search(r"in [12]\d parts of the test set, 0 beyond", made.summary)


def test_staging_is_trained_served_and_asked_and_a_model_goes_back(checkout: Project, tmp_path: Path) -> None:
    """On stack local: what is on staging's servers, tests/servers/test_staging.py tries."""
    there = checkout.environment | {
        "ACCIDENTS_PORT": str(free_port()),
        "ACCIDENTS_KEYS_FILE": str(tmp_path / "keys.json"),
    }
    secrets = ("MLFLOW_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY", "ZENML_STORE_API_KEY", "KUBECONFIG",
               "ACCIDENTS_API_KEY")  # fmt: skip
    variables = ("MLFLOW_SERVER", "S3_ENDPOINT", "ZENML_STORE_URL", "KUBERNETES_CONTEXT",
                 "MODEL_SERVER_IMAGE", "PIPELINES_IMAGE")  # fmt: skip
    context = {
        **{f"secrets.{name}": "" for name in secrets}, **{f"vars.{name}": "" for name in variables},
        "secrets.ACCIDENTS_DATABASE_URL": f"sqlite:///{tmp_path / 'predictions.db'}",
        "vars.STAGING_STACK": STACK, "vars.PRODUCTION_STACK": STACK, "inputs.what": "model",
        "inputs.release": "", "github.repository": REPOSITORY, "github.actor": "a", "github.token": TOKEN,
        "github.workspace": str(tmp_path),
    }  # fmt: skip
    params = checkout.folder / "params.yaml"
    params.write_text(params.read_text().replace("n_estimators: 60", "n_estimators: 50"))
    try:
        staged = jobs.run(jobs.job("staging", "staging"), checkout.folder, context, there, BUT)
    finally:
        Background(checkout.folder / ".serving", "api").stop()
    assert staged.well
    asked = next(said for step, said in staged.said.items() if "make smoke" in step)
    assert "predicts 0." in asked
    checkout("promote", "2")
    checkout("--pipeline", "deploy")
    assert served_version(checkout) == "2"
    back = jobs.run(jobs.job("rollback", "rollback"), checkout.folder, context, there, BUT)
    assert back.well
    assert served_version(checkout) == "1"
    assert not (tmp_path / ".kube" / "config").exists()
