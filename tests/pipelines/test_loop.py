"""The loop as people run it, on one project; each test has a history of its own, and version 2 as champion.

The model server, MLflow's database, the processes and what is done to them are real.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from accidents.data.sources.sample import write_sample
from accidents.predictions.history import Event, History, new_loop
from accidents.predictions.prediction_log import PredictionLog
from accidents.predictions.shadow import ShadowScore
from stacks.components.mlserver.folder import Trial
from tests.monitor_traffic import log_predictions
from tests.pipelines.conftest import Project
from tests.pipelines.looping import (
    database,
    events,
    kill,
    model_server,
    other_params,
    report,
    serve,
    served_bundle,
    stages,
    wait_for,
    wait_for_share,
    with_own_log,
)
from tests.pipelines.served import NAME, served_version, server_folder

# A loop is several commands of a minute each, on a machine that may have other work.
pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Retraining:
    """A loop that was killed in training and gone on with, which has made version 2."""

    killed: int  # process
    beside: tuple[int, str]  # exit code and errors of a second loop meanwhile
    served: tuple[str | None, str | None]  # after the kill, and at the end
    printed: str
    events: list[Event]


@pytest.fixture(scope="module")
def champion(trained: Project) -> Iterator[Project]:
    """Version 1 serves."""
    trained("--pipeline", "deploy")
    yield trained
    trained("stop", check=False)


@pytest.fixture(scope="module")
def retrained(champion: Project, tmp_path_factory: pytest.TempPathFactory) -> Retraining:
    """A year's labels have come in; the power is cut in the training, and the next run goes on."""
    project = with_own_log(champion, tmp_path_factory.mktemp("log"))
    loop = project.start("--pipeline", "monitor", "--input", "2023")
    wait_for(project, "train", "started", loop)
    beside = project("--pipeline", "monitor", check=False)
    time.sleep(3)
    kill(loop)
    served = served_version(project)
    printed = project("--pipeline", "monitor").stdout
    return Retraining(
        loop.pid, (beside.returncode, beside.stderr), (served, served_version(project)), printed,
        events(project),
    )  # fmt: skip


@pytest.fixture
def project(champion: Project, retrained: Retraining, tmp_path: Path) -> Project:
    """Version 2 is champion and serves, beside version 1; log and history are empty."""
    serve(champion, "2")
    return with_own_log(champion, tmp_path)


def test_killed_in_training_the_next_run_goes_on_and_the_old_champion_serves_throughout(
    retrained: Retraining,
) -> None:
    code, errors = retrained.beside
    assert code == 75
    assert f"Another loop runs (process {retrained.killed}" in errors
    assert "A loop was left in the middle" in retrained.printed
    assert retrained.served == ("1", "2")
    assert [(event.stage, event.outcome) for event in retrained.events] == [
        ("monitor", "ok"), ("train", "started"), ("train", "started"), ("train", "ok"), ("promote", "ok"),
        ("deploy", "started"), ("deploy", "ok"), ("verify", "started"), ("verify", "ok"), ("monitor", "ok"),
    ]  # fmt: skip
    assert len({event.loop_id for event in retrained.events[:-1]}) == 1


@pytest.mark.usefixtures("retrained")
def test_each_stage_is_in_zenml_and_mlflow(champion: Project) -> None:
    printed = champion.python(
        """
from stacks.apply import apply_stack
apply_stack("local")
from zenml.client import Client
from steps.support import champion_and_versions
client = Client()
for name in ("monitor", "train", "deploy", "verify"):
    runs = client.list_pipeline_runs(pipeline=name, status="completed", sort_by="desc:created").items
    print(name, len(runs))
version = champion_and_versions.version("accident-severity-dispatch", "2")
print("loop", version.run_metadata["loop"], version.run_metadata["probation"]["stays"])
report = client.list_pipeline_runs(pipeline="monitor", status="completed", sort_by="desc:created").items[0]
made = report.steps["report_window"].outputs["monitor_reports"][0]
print(*(page.uri.rsplit("/", 1)[-1] for page in made.visualizations))
import mlflow
client.active_stack.experiment_tracker.configure_mlflow()
runs = mlflow.search_runs(search_all_experiments=True, filter_string="tags.kind = 'monitor'")
print("mlflow", *set(runs["tags.decision"]))
mirrored = mlflow.MlflowClient().get_model_version("accident-severity-dispatch", "2")
print("tags", mirrored.tags["loop_probation"], mirrored.tags["loop"])
"""
    )
    lines = dict(line.split(" ", 1) for line in printed.splitlines())
    assert int(lines["verify"]) >= 1
    assert lines["loop"] == "{'probation': 'passed'} True"
    assert {"keep", "retrain"} <= set(lines["mlflow"].split())
    assert lines["tags"].startswith("passed ")
    assert "report.html" in printed


@pytest.mark.usefixtures("retrained")
def test_a_probation_descends_from_both_trainings(champion: Project) -> None:
    printed = champion.python(
        """
from zenml.client import Client
client = Client()
watched = client.list_pipeline_runs(pipeline="verify", sort_by="asc:created").items[0].steps["watch_version"]
for number, name in ((2, "bundle"), (1, "earlier")):
    registered = client.get_model_version("accident-severity-dispatch", number).get_artifact("bundle")
    made = client.get_run_step(registered.producer_step_run_id).name
    print(watched.inputs[name][0].id == registered.id, made)
"""
    )
    assert printed.splitlines()[-2:] == ["True build_bundle"] * 2


def test_a_version_that_goes_wrong_in_its_first_hour_is_taken_back(project: Project) -> None:
    promoted(project)
    loop = project.start("--pipeline", "monitor", *other_params(project, minutes="5"))
    wait_for(project, "verify", "started", loop)
    assert served_version(project) == "2"
    model_server(project).kill()
    printed, _ = loop.communicate(timeout=600)
    assert "Version 2 is taken back: " in printed.replace("\n", " ")
    assert stages(project)[-4:] == [
        ("verify", "failed"), ("rollback", "started"), ("rollback", "ok"), ("monitor", "ok"),
    ]  # fmt: skip
    assert served_version(project) == "1"
    assert "rollback of version 2: ok" in project("status").stdout


def promoted(project: Project) -> None:
    """A loop has made and promoted version 2 and was then left; version 1 serves."""
    serve(project, "1")
    loop, now = new_loop(), datetime.now(UTC)
    project.python(
        f"""
from steps.support import champion_and_versions
from zenml import log_metadata
name = champion_and_versions.model_name("dispatch")
version = champion_and_versions.version(name, "2")
log_metadata(metadata={{"loop": "{loop}"}}, model_version_id=version.id)
champion_and_versions.promote(version, "promoted for a test")
"""
    )
    with closing(History(database(project))) as history:
        history.add_event(
            loop, now, NAME, "monitor", "ok", "1", action="retrain", years=[2023], source="sample"
        )
        history.add_event(loop, now, NAME, "train", "started", before="1", years=[2023])


def test_killed_between_promotion_and_deployment_the_next_run_goes_on_there(project: Project) -> None:
    promoted(project)
    done = project("--pipeline", "monitor")
    assert "A loop was left in the middle" in done.stdout
    assert stages(project)[2:] == [
        ("promote", "ok"), ("deploy", "started"), ("deploy", "ok"), ("verify", "started"), ("verify", "ok"),
        ("monitor", "ok"),
    ]  # fmt: skip
    assert served_version(project) == "2"


def test_killed_as_a_canary_the_next_run_walks_it_up_until_it_answers_all(project: Project) -> None:
    promoted(project)
    loop = project.start("--pipeline", "monitor", *other_params(project, minutes="5", canary="[20, 60]"))
    wait_for_share(project, 20, loop)
    kill(loop)
    assert served_version(project) == "1", "the champion goes on answering the others"
    assert "version 2 (canary of 20 %)" in project("status").stdout
    # Of looks a second apart those of the first ten seconds see nothing.
    done = project("--pipeline", "monitor", *other_params(project, canary="[20, 60]", min_probes="14"))
    assert "A loop was left in the middle" in done.stdout
    walked = re.findall(r"version 2 answers (\d+) % of the accidents", done.stdout)
    assert walked == ["20", "60"], done.stdout
    assert stages(project)[2:] == [
        ("promote", "ok"), ("deploy", "started"), ("deploy", "started"), ("deploy", "ok"),
        ("verify", "started"), ("verify", "ok"), ("monitor", "ok"),
    ]  # fmt: skip
    assert served_version(project) == "2"
    assert server_folder(project).trials(NAME) == []


def test_a_canary_that_goes_wrong_goes_back_and_has_answered_its_share_only(project: Project) -> None:
    promoted(project)
    words = other_params(project, minutes="5", canary="[20, 60]", latency="0.000001")  # nothing is so quick
    done = project("--pipeline", "monitor", *words)
    assert re.findall(r"version 2 answers (\d+) % of the accidents", done.stdout) == ["20"], done.stdout
    assert "Version 2 is taken back: golden requests take" in done.stdout.replace("\n", " ")
    assert stages(project)[2:] == [
        ("promote", "ok"), ("deploy", "started"), ("verify", "failed"), ("rollback", "started"),
        ("rollback", "ok"), ("monitor", "ok"),
    ]  # fmt: skip
    assert served_version(project) == "1"
    assert server_folder(project).trials(NAME) == []


def test_a_look_compares_a_shadow_with_the_champion_on_a_page_and_as_an_artifact(project: Project) -> None:
    project("--pipeline", "deploy", "--version", "1", "--shadow")
    try:
        (shadow,) = server_folder(project).trials(NAME)
        with closing(PredictionLog(database(project))) as log:
            log_predictions(project.folder / "traffic", served_bundle(project), log, 300, year=2026)
            log.write_shadow([shadowed(row, shadow) for row in log.read()])
        done = project("--pipeline", "monitor", "--last", "300", "--decide-only")
    finally:
        project("rollback")  # ends the trial
    folder = project.folder / "reports" / "monitor"
    told = json.loads((folder / "trial_shadow.json").read_text(encoding="utf-8"))
    assert (told["role"], told["version"], told["champion"]) == ("shadow", "1", "2"), done.stdout
    assert told["comparison"]["accidents"] > 0
    assert "shadow" in (folder / "trial_shadow.html").read_text(encoding="utf-8")
    printed = project.python(
        """
from zenml.client import Client
run = Client().list_pipeline_runs(pipeline="monitor", sort_by="desc:created").items[0]
(reports,) = run.steps["compare_trials"].outputs["trial_reports"]
print(*(page.uri.rsplit("/", 1)[-1] for page in reports.visualizations))
"""
    )
    assert "trial_shadow.html" in printed


def shadowed(row: Mapping[str, Any], shadow: Trial) -> ShadowScore:
    """What a version on trial gave for a prediction of the log: a little less."""
    p = 0.9 * row["probability"]
    return ShadowScore(
        row["request_id"], row["created"], shadow.model.version, shadow.model.digest, p, row["band"], p > 0.5
    )


def test_a_poisoned_year_is_not_promoted(project: Project) -> None:
    source = poisoned(project, 2024)
    done = project("--pipeline", "monitor", "--input", "2024", "--source", str(source))
    assert stages(project)[-1] == ("promote", "refused")
    assert "Performance is lost" in done.stdout
    assert served_version(project) == "2"


def poisoned(project: Project, year: int) -> Path:
    """The sample's years as a folder, with the outcomes of one of them shuffled."""
    source = project.folder / "poisoned"
    shutil.copytree(project.folder / "data" / "sources" / "sample", source)
    write_sample(source, [year], accidents_per_year=4_000)
    (path,) = (source / str(year)).glob("usagers*")
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        users = pd.read_csv(lines, sep=";", dtype=str, keep_default_na=False)
    users["grav"] = np.random.default_rng(1).permutation(users["grav"])
    with opened(path, "wt", encoding="utf-8") as lines:
        users.to_csv(lines, sep=";", index=False)
    return source


def test_a_shift_of_severity_in_the_log_is_mended_by_a_recalibration(project: Project) -> None:
    """Predictions of a world that has grown more severe, with their outcomes, as they stand in the log.

    Of the one caller that an API without keys knows, as it is installed.
    """
    before = served_bundle(project)
    with closing(PredictionLog(database(project))) as log:
        log_predictions(
            project.folder / "traffic", before, log, 1_500, year=2026, drift="severity_shift", labels=True,
            callers=(None,),
        )  # fmt: skip
    done = project("--pipeline", "monitor", "--last", "1500")
    measured = report(project)
    assert measured.decision.firing == ("performance",), done.stdout
    assert measured.decision.action == "recalibrate"
    assert ("promote", "ok") in stages(project), done.stdout
    assert stages(project)[-1] == ("verify", "ok")
    mended = served_bundle(project)
    assert mended.facts["recalibrated"]["version"] == measured.measurements.champion.version
    assert mended.model.booster.text == before.model.booster.text
    # The labels that it learnt from do not judge it.
    again = project("--pipeline", "monitor", "--last", "1500", "--decide-only")
    assert report(project).decision.firing == (), again.stdout
    assert report(project).measurements.performance is None


def test_mlflow_gone_in_the_middle_of_a_retraining(project: Project) -> None:
    mlflow = project.folder / ".zenml" / "artifacts" / "mlflow.db"
    loop = project.start("--pipeline", "monitor", "--input", "2025")
    wait_for(project, "train", "started", loop)
    kept = mlflow.with_suffix(".kept")
    mlflow.rename(kept)
    mlflow.mkdir()  # nothing can be opened there
    try:
        printed, _ = loop.communicate(timeout=600)
        assert loop.returncode == 1
        assert "The retraining failed" in printed.replace("\n", " ")
        assert "Traceback" not in printed
        assert stages(project)[-1] == ("train", "failed")
        assert served_version(project) == "2"
    finally:
        mlflow.rmdir()
        kept.rename(mlflow)
    again = project("--pipeline", "monitor", "--input", "2025")
    assert stages(project)[-1] == ("verify", "ok"), again.stdout
