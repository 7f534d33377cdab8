"""Who starts the loop gives it the time that it may need: one that is killed begins its probation again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from accidents.monitoring.monitor_settings import ProbationPolicy
from tests.conftest import ROOT

TRAINING = 6  # hours, as the DAGs give it (tests/dags/test_dags.py)


def longest_probation() -> float:
    """Hours of the longest that params.yaml may ask for."""
    (hours,) = (
        bound.le / 60 for bound in ProbationPolicy.model_fields["minutes"].metadata if hasattr(bound, "le")
    )
    return float(hours)


def test_nobody_ends_a_loop_before_its_training_and_its_longest_probation() -> None:
    unit = (ROOT / "references" / "systemd" / "accidents-monitor.service").read_text(encoding="utf-8")
    job = _read("kubernetes/base/monitor.yaml")["spec"]["jobTemplate"]["spec"]
    workflow = _read(".github/workflows/monitor.yml")["jobs"]["monitor"]
    hours = {
        "systemd": float(unit.partition("TimeoutStartSec=")[2].partition("h\n")[0]),
        "cron job": job["activeDeadlineSeconds"] / 3600,
        "workflow": workflow["timeout-minutes"] / 60,
    }
    needed = TRAINING + longest_probation()
    assert {who: given for who, given in hours.items() if given <= needed} == {}


def _read(file: str) -> dict[str, Any]:
    return dict(yaml.safe_load(Path(ROOT / file).read_text(encoding="utf-8")))
