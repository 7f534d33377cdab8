"""A training that is ended in the middle says so, and the next one goes on from what was finished."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.pipelines.conftest import Project

pytestmark = pytest.mark.slow

LEFT = """
from zenml.client import Client
from steps.support import champion_and_versions
client = Client()
print(*{str(run.status) for run in client.list_pipeline_runs(pipeline="train").items})
print([version.number for version in champion_and_versions.versions("accident-severity-dispatch")])
client.active_stack.experiment_tracker.configure_mlflow()
from mlflow import MlflowClient
print(len(MlflowClient().search_model_versions()))
"""


def end_at(project: Project, step: str, number: signal.Signals) -> tuple[int, str]:
    """Exit code, and what a training says after the signal that it gets while a step runs."""
    process = project.start("--pipeline", "train")
    line = ""
    while f"  {step} ..." not in line:
        line = process.stdout.readline()
        assert line, f"ended before {step}"
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=120)
    return process.wait(), said


def test_a_training_that_is_ended_leaves_nothing_half_done_and_is_gone_on_with(trained: Project) -> None:
    params = trained.folder / "params.yaml"
    params.write_text(params.read_text().replace("n_estimators: 60", "n_estimators: 50"))
    for step, number, by in [
        ("train model", signal.SIGTERM, "SIGTERM"),
        ("register model", signal.SIGINT, "Ctrl-C"),
    ]:
        code, said = end_at(trained, step, number)
        assert code == 128 + number, said
        assert said.splitlines()[-1].startswith(f"Error: Ended by {by}."), said
        assert "Traceback" not in said
        statuses, versions, mirrored = trained.python(LEFT).splitlines()[-3:]
        assert sorted(statuses.split()) == ["completed", "failed"], "none that is taken to be running"
        assert (versions, mirrored) == ("[1]", "1")
    done = trained("--pipeline", "train").stdout
    cached, steps = map(int, re.search(r"(\d+) of (\d+) steps cached", done).groups())
    assert steps > cached > steps / 2, "what was finished"
    assert trained.python(LEFT).splitlines()[-1] == "2"
