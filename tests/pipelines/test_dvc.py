"""DVC: only what changed is rebuilt, runs can be compared, and the data travels to a remote and back."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from commands.repro import DVC, stale_lock, wrong_stages
from tests.pipelines.conftest import Project
from tests.warm import environment_that_forks

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("edit", [None, "code.py", "params.yaml"])
def test_a_lock_that_is_not_of_the_code_is_told_without_any_data(tmp_path: Path, edit: str | None) -> None:
    """A clean clone: what the stage made is neither there nor in a cache."""

    def run(*words: str | Path) -> None:
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "code.py").write_text("print(1)")
    (tmp_path / "params.yaml").write_text("seed: 1")
    stage = {"cmd": "echo 1 > out", "deps": ["code.py"], "params": ["seed"], "outs": ["out"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": stage}}))
    run(DVC, "init", "-q", "--no-scm")
    run(DVC, "repro", "-q")
    (tmp_path / "out").unlink()
    shutil.rmtree(tmp_path / ".dvc" / "cache")
    if edit:
        with (tmp_path / edit).open("a") as file:
            file.write("2")
    assert [line.split()[2] for line in stale_lock(tmp_path)] == ([edit] if edit else [])


def test_stages_depend_on_the_code_they_run() -> None:
    assert list(wrong_stages()) == [], "run make repro"


@pytest.fixture(scope="module")
def project(project: Project) -> Iterator[Project]:
    """With one bag of trees, whose stages are forks, too."""
    edit(project, "n_estimators: 60", "n_estimators: 60, bags: 1")
    environment = project.folder.parent / "environment"
    with environment_that_forks(environment, project.environment):
        project.environment["PATH"] = f"{environment / 'bin'}{os.pathsep}{project.environment['PATH']}"
        yield project


def dvc(project: Project, *words: str) -> str:
    """What `dvc WORDS` prints in the project's folder."""
    return project.forked(str(DVC), *words).stdout


def repro(project: Project) -> list[str]:
    """Run `dvc repro`; return the stages that ran."""
    printed = dvc(project, "repro")
    return [line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")]


def edit(project: Project, before: str, after: str) -> None:
    params = project.folder / "params.yaml"
    text = params.read_text()
    assert before in text
    params.write_text(text.replace(before, after))


@pytest.fixture(scope="module")
def built(project: Project) -> list[str]:
    """Everything is built; the stages that ran for it."""
    return repro(project)


def test_the_first_time_everything_is_built_and_then_nothing(project: Project, built: list[str]) -> None:
    assert built == ["raw", "prepared", "train"]
    assert repro(project) == []


@pytest.mark.usefixtures("built")
def test_the_data_version_of_the_run_is_the_hash_in_dvc_lock(project: Project) -> None:
    lock = yaml.safe_load((project.folder / "dvc.lock").read_text())
    summary = json.loads((project.folder / "reports" / "summary.json").read_text())
    assert summary["data_version"] == lock["stages"]["raw"]["outs"][0]["md5"]


@pytest.mark.usefixtures("built")
def test_a_changed_model_trains_again_and_metrics_and_plots_compare(project: Project) -> None:
    commit = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qam", "before"]
    project.shell("git", "add", ".")
    project.shell(*commit)
    edit(project, "n_estimators: 60", "n_estimators: 5")
    assert repro(project) == ["train"]
    shown = json.loads(dvc(project, "metrics", "show", "--json"))
    now = shown[""]["data"]["reports/metrics.json"]["data"]["roc_auc"]
    difference = json.loads(dvc(project, "metrics", "diff", "--json"))
    change = difference["reports/metrics.json"]["roc_auc"]
    assert change["new"] == now
    assert change["old"] > now, "5 trees cannot beat 60"
    dvc(project, "plots", "diff", "HEAD", "--out", "compared")
    assert "roc.csv" in (project.folder / "compared" / "index.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("built")
def test_data_travels_to_the_remote_and_back(project: Project) -> None:
    dvc(project, "push")
    shutil.rmtree(project.folder / "data" / "raw")
    shutil.rmtree(project.folder / ".dvc" / "cache")
    dvc(project, "pull")
    assert list((project.folder / "data" / "raw").rglob("usagers-2022.csv"))
    assert repro(project) == []
