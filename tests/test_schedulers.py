"""Whoever starts looks by a schedule takes another loop that runs for what it is: nothing is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from accidents.errors import BusyError
from tests.conftest import ROOT
from tests.workflows import jobs


def text(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def test_systemd_counts_it_as_success() -> None:
    unit = text("references/systemd/accidents-monitor.service")
    (codes,) = re.findall("^SuccessExitStatus=(.*)", unit, re.M)
    assert str(BusyError.exit_code) in codes.split()


def test_a_cluster_tries_again_and_counts_no_failure() -> None:
    job = yaml.safe_load(text("kubernetes/base/monitor.yaml"))["spec"]["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    (rule,) = job["podFailurePolicy"]["rules"]
    told = {"containerName": container["name"], "operator": "In", "values": [BusyError.exit_code]}
    assert (rule["action"], rule["onExitCodes"]) == ("Ignore", told)
    assert job["template"]["spec"]["restartPolicy"] == "Never", "a failure policy wants it"


@pytest.mark.parametrize(("code", "well"), [(0, True), (BusyError.exit_code, True), (1, False)])
def test_the_workflow_is_green(code: int, well: bool, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\nexit {code}\n", encoding="utf-8")
    python.chmod(0o755)
    told = {
        "vars.ACCIDENTS_FOLDER": str(tmp_path), "inputs.year": "2022", "secrets.ACCIDENTS_DATABASE_URL": "",
    }  # fmt: skip
    assert jobs.run(jobs.job("monitor", "monitor"), tmp_path, told, {}, {}).well is well
