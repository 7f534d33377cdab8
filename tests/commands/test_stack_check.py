"""`run.py stack check` comes to its verdict whatever is wrong, ZenML's server too."""

from __future__ import annotations

from pathlib import Path

import pytest

from accidents.predictions.store import VARIABLE
from commands import dask_cluster, stack
from stacks import check, placeholders
from stacks.check import Finding
from stacks.errors import StackError
from steps.support import prediction_store


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
def test_a_stack_that_logs_in_postgresql_is_not_well_without_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prediction_store, "_address_in_secret", lambda: None)
    monkeypatch.setattr(placeholders, "project_root", lambda: tmp_path)  # where no `.env` is
    monkeypatch.delenv("PREDICTIONS_DATABASE_PASSWORD", raising=False)
    with pytest.raises(StackError, match="2 of what was tried"):
        stack.check("staging")
    said = capsys.readouterr().out
    assert "wrong prediction log: Stack staging, unless ACCIDENTS_DATABASE_URL says where" in said
    assert "needs the environment variable PREDICTIONS_DATABASE_PASSWORD" in said


@pytest.mark.usefixtures("store_is_gone")
def test_a_log_that_the_environment_names_is_tried_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(StackError, match="1 of what was tried"):
        stack.check("local")
    assert "ok    prediction log: a file of this machine, not made yet" in capsys.readouterr().out
