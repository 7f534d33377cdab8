"""A replay as people run it, on one project that has trained nothing."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests.pipelines.conftest import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FILES = {"replay.json", "replay.csv", "replay.png", "report.html"}


def folder(project: Project) -> Path:
    return project.folder / "reports" / "replay"


def files(project: Project) -> dict[Path, bytes]:
    """What a replay would make, with what it holds: years of the sample, and its report."""
    places = (folder(project), project.folder / "data" / "sources")
    return {path: path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def replayed(project: Project) -> subprocess.CompletedProcess[str]:
    """The command that replayed 2019 to 2022."""
    return project("replay", "2019-2022")


def test_what_cannot_be_replayed_is_refused_before_anything_runs(project: Project) -> None:
    before = files(project)
    refused = [
        (("2022",), "nothing to watch"),
        (("2019-2022", "--stack", "bare"), "data validator"),
        (("autumn",), "not a list of years"),
    ]
    for words, message in refused:
        done = project("replay", *words, check=False)
        assert done.returncode == 1, words
        assert message in done.stderr.replace("\n", " "), words
        assert "Traceback" not in done.stderr
    assert files(project) == before


def test_past_years_are_walked_through_month_by_month(
    project: Project, replayed: subprocess.CompletedProcess[str]
) -> None:
    assert {path.name for path in folder(project).iterdir()} == FILES
    story = json.loads((folder(project) / "replay.json").read_text(encoding="utf-8"))
    assert story["synthetic"] is True
    table = pd.read_csv(folder(project) / "replay.csv")
    months, years = (table[table["window"] == window] for window in ("month", "year"))
    # The labels of 2019 came in in November 2020: from December 2020 on there is somebody to watch.
    assert months["month"].iloc[[0, -1]].tolist() == ["2020-12", "2022-12"]
    assert len(months) == 25
    assert list(zip(years["month"], years["of"], years["action"], strict=True)) == [
        ("2021-11", "2020", "retrain"),
        ("2022-10", "2021", "retrain"),
    ]
    assert [training["years"] for training in story["trainings"]] == [
        [2019],
        [2019, 2020],
        [2019, 2020, 2021],
    ]
    assert months.loc[months["month"] < "2022", "roc_auc_value"].notna().all()
    assert (months["month"] < "2022").sum() == 13
    assert months.loc[months["month"] >= "2022", "roc_auc_value"].isna().all()
    assert "2019 to 2022 of the synthetic sample, replayed" in replayed.stdout
    assert "25 months watched" in replayed.stdout


@pytest.mark.usefixtures("replayed")
def test_it_leaves_nothing_in_the_registry_or_the_history(project: Project) -> None:
    refused = [
        (("inference", "--input", "2022"), "no champion yet"),
        (("monitor",), "no champion yet to watch: python run.py --pipeline train"),
    ]
    for words, message in refused:
        done = project("--pipeline", *words, check=False)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not (project.folder / "reports" / "inference").exists()
    assert not list(project.folder.glob("**/predictions.db"))


@pytest.mark.usefixtures("replayed")
def test_a_replay_that_fails_leaves_the_one_before_alone(project: Project) -> None:
    before = (folder(project) / "replay.json").read_bytes()
    (project.folder / "nothing").mkdir()
    done = project("replay", "2019-2022", "--source", "nothing", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert (folder(project) / "replay.json").read_bytes() == before


@pytest.mark.usefixtures("replayed")
def test_the_picture_shows_in_the_dashboard(project: Project) -> None:
    printed = project.python(
        """
from zenml.client import Client
run = Client().list_pipeline_runs(pipeline="replay", status="completed", sort_by="desc:created").items[0]
made = run.steps["replay_months"].outputs["replay"][0]
print(*(page.uri.rsplit("/", 1)[-1] for page in made.visualizations))
"""
    )
    assert {"replay.png", "report.html"} <= set(printed.split())
