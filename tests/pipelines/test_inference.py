"""The inference pipeline as people run it, on one project with a champion."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from accidents.reports.prediction_files import FILES
from tests.pipelines.conftest import Project

pytestmark = pytest.mark.slow

CALLS = """accident_id;time;latitude;longitude;department;light;speed_limit;pedestrian;cars;colour
a1;2024-03-02T18:30;48,85;2,35;75;daylight;50;1;1;red
a2;2024-02-30T18:30;;;2A;purple;80;0;2;blue
a3;;;;59;1;50;0;1;+1+1
a1;2024-03-02T05:30;;;59;nuit sans éclairage public;80;;;=1+1
"""


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project(trained: Project) -> Project:
    """Without a champion nothing is scored: test_replay.py."""
    return trained


def test_a_raw_year_is_scored_whole_and_compared_with_how_it_turned_out(project: Project) -> None:
    done = project("--pipeline", "inference", "--input", "2022", "--reasons", "alerts")
    folder = project.folder / "reports" / "inference" / "2022"
    assert {path.name for path in folder.iterdir()} == FILES
    found = summary(folder)
    assert (found["rows"], found["scored"], found["set_aside"]) == (4_000, 4_000, 0)
    assert found["drift"]["verdict"] == "stable"
    # The refit has learnt from the year that the judged model was tested on: better than it is, and said so.
    tested = json.loads((project.folder / "reports" / "metrics.json").read_text())
    assert found["outcome"]["metrics"]["roc_auc"]["value"] > tested["roc_auc"] + 0.01
    assert "learnt from 12 of these 12 months" in done.stdout
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert predictions["row"].tolist() == list(range(1, 4_001))
    assert (predictions["reasons"] != "").tolist() == predictions["alert"].tolist()
    assert "As it turned out" in done.stdout
    assert f"{found['alerts']:,} alerts" in done.stdout


def test_a_year_that_the_model_learnt_from_is_said_to_be_one(project: Project) -> None:
    done = project("--pipeline", "inference", "--input", "2021", "--reasons", "none")
    assert "learnt from 12 of these 12 months" in done.stdout


@pytest.fixture(scope="module")
def calls(project: Project) -> subprocess.CompletedProcess[str]:
    """The command that scored calls.csv, into out/calls."""
    (project.folder / "calls.csv").write_text(CALLS, encoding="latin-1")
    return project(
        "--pipeline", "inference", "--input", "calls.csv", "--version", "1", "--output", "out/calls"
    )


def test_a_file_is_scored_as_far_as_it_can_be(
    project: Project, calls: subprocess.CompletedProcess[str]
) -> None:
    folder = project.folder / "out" / "calls"
    predictions = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
    assert predictions["row"].tolist() == [1, 2, 4]
    assert predictions["accident_id"].tolist() == ["a1", "a2", "a1"]
    assert predictions["colour"].tolist() == ["red", "blue", "'=1+1"], "no formula"
    assert "light 'purple'" in predictions["notes"][1]
    assert "row 1 has the same accident_id" in predictions["notes"][2]
    assert predictions["reasons"].str.contains(r"\([+-]").all()
    aside = pd.read_csv(folder / "set_aside.csv")
    assert aside[["accident_id", "colour"]].to_numpy().tolist() == [["a3", "'+1+1"]]
    assert summary(folder)["drift"]["verdict"] == "not comparable"
    assert "1 set aside" in calls.stdout
    assert "colour" in calls.stdout


@pytest.mark.usefixtures("calls")
def test_what_cannot_be_scored_leaves_what_was_there_alone(project: Project) -> None:
    (project.folder / "empty.csv").write_text("")
    (project.folder / "mine").mkdir()
    (project.folder / "mine" / "thesis.txt").write_text("years of work")
    refused = [
        (("--input", "empty.csv", "--output", "out/calls"), "is empty"),
        (("--input", "calls.csv", "--output", "mine"), "holds other files"),
        (("--input", "run.py"), ".csv"),
        (("--input", "calls.csv", "--version", "99"), "has no version '99'"),
    ]
    for words, message in refused:
        done = project("--pipeline", "inference", *words, check=False)
        assert done.returncode == 1, words
        assert message in done.stderr.replace("\n", " "), words
        assert "Traceback" not in done.stderr
    assert (project.folder / "out" / "calls" / "predictions.csv").exists()
    assert (project.folder / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.usefixtures("calls")
def test_the_run_shows_its_report_in_the_dashboard(project: Project) -> None:
    printed = project.python(
        """
from zenml.client import Client
for run in Client().list_pipeline_runs(pipeline="inference", status="completed").items:
    report = run.steps["report_predictions"].outputs["inference_report"][0]
    shown = [page.uri.rsplit("/", 1)[-1] for page in report.visualizations]
    print(run.steps["score_accidents"].outputs["predictions"][0].load().shape[0], *shown)
"""
    )
    pages = {rows: set(names) for rows, *names in map(str.split, printed.splitlines())}
    assert {"report.html", "map.png", "drift.html"} <= pages["3"], "three of the four calls can be scored"
