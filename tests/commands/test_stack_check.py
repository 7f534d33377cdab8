"""`run.py stack check` comes to its verdict whatever is wrong, ZenML's server too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from accidents.predictions.store import VARIABLE
from benchmarks.project_copy import copy_project
from commands import dask_cluster, stack
from stacks import check, placeholders
from stacks.check import Finding
from stacks.definition import read_raw, stack_names
from stacks.errors import StackError
from steps.support import prediction_store
from tests.zenml_store import isolated_environment

ON_CLUSTERS = [name for name in stack_names() if "kubernetes_image" in str(read_raw(name))]


@pytest.fixture
def store_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """ZenML's server does not answer."""

    def gone() -> None:
        raise RuntimeError("Error initializing rest store with URL 'http://127.0.0.1:1': Connection refused")

    monkeypatch.setenv(VARIABLE, "")  # as it was before, afterwards
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(check, "check_stack", lambda _: iter([Finding("store", False, "Nothing answers.")]))
    monkeypatch.setattr(dask_cluster, "check_cluster", lambda _: iter(()))
    monkeypatch.setattr(prediction_store, "_address_in_secret", gone)


@pytest.mark.usefixtures("store_is_gone")
def test_without_zenmls_server_the_verdict_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StackError, match="cannot be used as it is: 2 of what was tried"):
        stack.check("local")
    assert "wrong prediction log: " in capsys.readouterr().out


@pytest.mark.usefixtures("store_is_gone")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("staging", "Stack staging, unless ACCIDENTS_DATABASE_URL says where"),
        *((name, f"The prediction log of stack {name} needs") for name in ON_CLUSTERS),
    ],
)
def test_a_stack_that_logs_in_postgresql_is_not_well_without_its_address(
    name: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a cluster the monitor's job looks at it: a look from here at another log would be a second loop."""
    monkeypatch.setattr(prediction_store, "_address_in_secret", lambda: None)
    monkeypatch.setattr(placeholders, "project_root", lambda: tmp_path)  # where no `.env` is
    monkeypatch.delenv("PREDICTIONS_DATABASE_PASSWORD", raising=False)
    with pytest.raises(StackError, match="2 of what was tried"):
        stack.check(name)
    said = capsys.readouterr().out
    assert f"wrong prediction log: {told}" in said
    variable = "PREDICTIONS_DATABASE_PASSWORD" if name == "staging" else VARIABLE
    assert f"needs the environment variable {variable}" in said


@pytest.mark.usefixtures("store_is_gone")
def test_a_log_that_the_environment_names_is_tried_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(StackError, match="1 of what was tried"):
        stack.check("local")
    assert "ok    prediction log: a file of this machine, not made yet" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    (project / "stacks" / "local.yaml").write_text("name: [", encoding="utf-8")
    words = [sys.executable, "run.py", "stack", "check", "local"]
    environment = isolated_environment(tmp_path / "store", project)
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("is not YAML")) == (1, 1)
    assert "1 of what was tried is wrong" in done.stderr
