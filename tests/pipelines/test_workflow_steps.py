"""The steps of the workflows that run pipelines, in order, in a clean clone: a model report, staging, a look,
a model taken back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from accidents.predictions.history import History
from commands.background import Background
from tests.benchmarks.fake_github import REPOSITORY, TOKEN, fake_github
from tests.compiled import take_compiled
from tests.pipelines.conftest import Project, made_small
from tests.pipelines.served import NAME, served_version
from tests.processes import free_port, kill_all_of
from tests.warm import environment_that_forks
from tests.workflows import jobs
from tests.workflows.clone import clean_clone, edit, git, stamps_fit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.timeout(1800),  # of two trainings each
]

BUT = {"make smoke URL=deployment/accidents-api": "it asks a cluster: tests/containers/test_release.py"}
STACK = "local"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A clean clone, as a runner has it, but that its experiment is small; nothing has been trained in it."""
    project = made_small(clean_clone(tmp_path_factory.mktemp("clone") / "a project"))
    take_compiled(project.folder)
    edit(project.folder, "params.yaml", ("n_estimators: 60", "n_estimators: 60, bags: 1"))
    git(project.folder, "commit", "--quiet", "--all", "--message", "a small experiment")
    (project.folder / ".venv").unlink()
    with environment_that_forks(project.folder / ".venv", project.environment):
        yield project
    kill_all_of(project.folder)


def test_a_pull_request_gets_its_report(checkout: Project) -> None:
    """Of a branch whose model has fewer trees than the one that it is held against."""
    base = git(checkout.folder, "rev-parse", "HEAD")
    git(checkout.folder, "checkout", "--quiet", "-b", "fewer-trees")
    edit(checkout.folder, "params.yaml", ("n_estimators: 60", "n_estimators: 5"))
    git(checkout.folder, "commit", "--quiet", "--all", "--message", "fewer trees")
    head = git(checkout.folder, "rev-parse", "HEAD")
    with fake_github() as github:
        context = {
            "github.event.pull_request.base.sha": base, "github.event.pull_request.number": "12",
            "github.event.pull_request.head.repo.full_name": REPOSITORY, "github.repository": REPOSITORY,
            "github.token": TOKEN,
        }  # fmt: skip
        there = {**checkout.environment, "GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": REPOSITORY}
        made = jobs.run(jobs.job("model-report", "report"), checkout.folder, context, there, BUT)
        assert made.well
        assert jobs.run(jobs.job("model-report", "comment"), checkout.folder, context, there, BUT).well
        assert [comment["body"] for comment in github.comments] == [made.summary]
    assert {one.name for one in (checkout.folder / ".cache" / "reports").iterdir()} == {base, head}
    assert f"({base[:7]})" in made.summary
    assert f"({head[:7]})" in made.summary
    # What each was trained with is what its column says: neither is the other's, nor are they changed round.
    before, after = (_metric(checkout, commit) for commit in (base, head))
    (row,) = re.findall(r"^\| ROC-AUC \| ([\d.]+) [^|]*\| ([\d.]+) [^|]*\| [▲▼]", made.summary, flags=re.M)
    assert row == (f"{before:.3f}", f"{after:.3f}")
    assert row[0] != row[1]
    assert re.search(r"in [12]\d parts of the test set", made.summary)
    git(checkout.folder, "checkout", "--quiet", base)
    stamps_fit(checkout.folder)


def _metric(checkout: Project, commit: str) -> float:
    """The ROC-AUC in what is kept of a commit's training."""
    file = checkout.folder / ".cache" / "reports" / commit / "metrics.json"
    return float(json.loads(file.read_text(encoding="utf-8"))["roc_auc"])


def _looked_at(checkout: Project, context: dict[str, str], runner: Path) -> None:
    """A runner of one's own looks at the project's folder from its own: the log, then a year."""
    (runner / ".git").mkdir()
    for year in ("", "2022"):
        told = {**context, "vars.ACCIDENTS_FOLDER": str(checkout.folder), "inputs.year": year}
        assert jobs.run(jobs.job("monitor", "monitor"), runner, told, checkout.environment, BUT).well
    with closing(History(context["secrets.ACCIDENTS_DATABASE_URL"])) as history:
        looks = [event.detail for event in history.events(NAME, 100) if event.stage == "monitor"]
    assert [(look["reason"], look["given"]) for look in looks] == [("schedule", None), ("schedule", "2022")]
    assert served_version(checkout) == "2"


def test_staging_is_trained_served_and_asked_and_a_model_goes_back(checkout: Project, tmp_path: Path) -> None:
    """On stack local: what is on staging's servers, tests/servers/test_staging.py tries."""
    there = checkout.environment | {
        "ACCIDENTS_PORT": str(free_port()),
        "ACCIDENTS_KEYS_FILE": str(tmp_path / "keys.json"),
    }
    secrets = ("ZENML_STORE_API_KEY", "KUBECONFIG", "ACCIDENTS_API_KEY")
    context = {
        **{f"secrets.{name}": "" for name in secrets}, "vars.ZENML_STORE_URL": "",
        "secrets.ACCIDENTS_DATABASE_URL": f"sqlite:///{tmp_path / 'predictions.db'}",
        "vars.STAGING_STACK": STACK, "vars.PRODUCTION_STACK": STACK, "inputs.what": "model",
        "vars.PRODUCTION_OVERLAY": "", "inputs.release": "v0.0.0", "inputs.stage": "dispatch",
        "github.repository": REPOSITORY, "github.actor": "a", "github.token": TOKEN,
        "github.workspace": str(tmp_path),
    }  # fmt: skip
    try:
        staged = jobs.run(jobs.job("staging", "staging"), checkout.folder, context, there, BUT)
    finally:
        Background(checkout.folder / ".serving", "api").stop()
    assert staged.well
    asked = next(said for step, said in staged.said.items() if "make smoke" in step)
    assert "predicts 0." in asked
    assert served_version(checkout) is None, "the workflow's last step stops what it has served"
    edit(checkout.folder, "params.yaml", ("n_estimators: 60", "n_estimators: 50"))
    checkout("--pipeline", "train")
    checkout("promote", "2")
    checkout("--pipeline", "deploy")
    assert served_version(checkout) == "2"
    _looked_at(checkout, context, tmp_path)
    back = jobs.run(jobs.job("rollback", "rollback"), checkout.folder, context, there, BUT)
    assert back.well
    assert served_version(checkout) == "1"
    assert not (tmp_path / ".kube" / "config").exists()
