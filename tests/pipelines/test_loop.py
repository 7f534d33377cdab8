"""Monitoring and the loop as people run them, on one project; the tests run in order.

The model server, MLflow's database, the processes and what is done to them are real.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from accidents.monitoring.measurements import MonitorReport
from accidents.predictions.history import Event, History, new_loop
from accidents.predictions.log import PredictionLog, PredictionLogError
from accidents.predictions.store import LOOP, opened_store
from tests.monitor_traffic import log_predictions, newest_bundle
from tests.observability.servers import free_addresses, needs_programs, until, watching
from tests.pipelines.conftest import Project
from tests.postgres import PASSWORD, PostgresServer
from tests.warm import Process

pytest_plugins = ("tests.log_fixtures",)  # the fixture `postgres`
# A loop is several commands of a minute each, on a machine that may have other work.
pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(900)]
NAME = "accident-severity-dispatch"


@pytest.fixture(scope="module")
def project(trained: Project) -> Iterator[Project]:
    """Without a champion there is nothing to watch: test_replay.py."""
    yield trained
    trained("stop", check=False)


def database(project: Project) -> str:
    return f"sqlite:///{project.folder / '.serving' / 'predictions.db'}"


def events(project: Project) -> list[Event]:
    history = History(database(project))
    try:
        return history.events(NAME, 100)
    finally:
        history.close()


def stages(project: Project, since: int = 0) -> list[tuple[str, str]]:
    return [(one.stage, one.outcome) for one in events(project)[since:]]


def report(project: Project) -> MonitorReport:
    path = project.folder / "reports" / "monitor" / "monitor.json"
    return MonitorReport.model_validate_json(path.read_text(encoding="utf-8"))


def daemon(project: Project) -> psutil.Process:
    """The model server's process."""
    found = [
        one for one in psutil.process_iter(["cmdline"])
        if "serving.runtime.guarded_mlserver" in (one.info["cmdline"] or [])
        and str(project.folder) in " ".join([*(one.info["cmdline"] or []), _cwd(one)])
    ]  # fmt: skip
    assert found, "no model server of this project runs"
    return found[0]


def _cwd(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""


def served_version(project: Project) -> str:
    """Which version the endpoint itself says it is."""
    url = project.python(
        """
from stacks.apply import apply_stack
apply_stack("local")
from stacks.endpoints import active_endpoints
endpoints = active_endpoints()
print(endpoints.endpoint(endpoints.names()[0]).state().url)
"""
    ).strip()
    with urllib.request.urlopen(url.removesuffix("/infer"), timeout=10) as answer:
        return str(json.load(answer)["versions"][0])


def wait_for(project: Project, stage: str, outcome: str, process: Process, after: int) -> None:
    for _ in range(6_000):
        if (stage, outcome) in stages(project, after):
            return
        if process.poll() is not None:
            pytest.fail(f"ended before {stage} {outcome}:\n{process.stdout.read()}")
        time.sleep(0.1)
    pytest.fail(f"{stage} {outcome} never came: {stages(project)}")


def test_an_empty_log_keeps(project: Project) -> None:
    project("--pipeline", "deploy")
    done = project("--pipeline", "monitor", check=False)
    assert done.returncode == 1
    assert "There is no prediction log at" in done.stderr
    assert "python run.py database upgrade" in done.stderr.replace("\n", " ")
    assert not (project.folder / ".serving" / "predictions.db").exists(), "made by who only reads"
    log = PredictionLog(database(project))
    log.create()
    log.close()
    done = project("--pipeline", "monitor")
    assert "The window is empty" in done.stdout
    assert report(project).decision.action == "keep"
    assert stages(project) == [("monitor", "ok")]
    metrics = (project.folder / "reports" / "monitor" / "metrics.prom").read_text(encoding="utf-8")
    assert 'accidents_monitor_decision{action="keep"} 1.0' in metrics
    assert "accidents_monitor_rows 0.0" in metrics


def test_one_prediction_and_a_year_before_the_reference_decide_nothing(project: Project) -> None:
    log = PredictionLog(database(project))
    log_predictions(project.folder, log, 1, year=2026)
    log.close()
    done = project("--pipeline", "monitor")
    assert "1 accidents are too few to say anything" in done.stdout
    done = project("--pipeline", "monitor", "--input", "2019")
    assert "tells of the past" in done.stdout
    assert report(project).decision.action == "keep"


def test_a_gateway_that_is_down_stops_nothing_and_a_decision_can_be_left_at_that(project: Project) -> None:
    project.environment["ACCIDENTS_PUSHGATEWAY"] = "http://127.0.0.1:9"
    done = project("--pipeline", "monitor", "--input", "2023", "--decide-only")
    del project.environment["ACCIDENTS_PUSHGATEWAY"]
    assert "does not take the metrics" in done.stdout.replace("\n", " ")
    assert "Labels of 2023 have come in" in done.stdout
    assert report(project).decision.action == "retrain"
    assert stages(project)[-1] == ("train", "skipped")
    assert ("train", "started") not in stages(project)


def test_killed_in_training_the_next_run_goes_on_and_the_old_champion_serves_throughout(
    project: Project,
) -> None:
    begun = len(events(project))
    first = project.start("--pipeline", "monitor", "--input", "2023")
    wait_for(project, "train", "started", first, begun)
    second = project("--pipeline", "monitor", check=False)
    assert second.returncode == 75
    assert f"Another loop runs (process {first.pid}" in second.stderr
    time.sleep(3)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert served_version(project) == "1"
    done = project("--pipeline", "monitor")
    assert "A loop was left in the middle" in done.stdout
    assert stages(project, begun) == [
        ("monitor", "ok"), ("train", "started"), ("train", "started"), ("train", "ok"), ("promote", "ok"),
        ("deploy", "started"), ("deploy", "ok"), ("verify", "started"), ("verify", "ok"), ("monitor", "ok"),
    ]  # fmt: skip
    assert served_version(project) == "2"
    assert len({one.loop_id for one in events(project)[begun:-1]}) == 1


def test_a_loop_elsewhere_on_a_shared_log_keeps_this_one_out(
    project: Project, postgres: PostgresServer
) -> None:
    address = postgres.new_database()
    here = Project(project.folder)
    here.environment |= {"ACCIDENTS_DATABASE_URL": address}
    refused = here("--pipeline", "monitor", check=False)
    assert (refused.returncode, f"{postgres.port}/log_" in refused.stderr) == (1, True), "there is none yet"
    assert PASSWORD not in refused.stderr
    assert "is up to date" in here("database", "upgrade").stdout
    with opened_store(address) as store:
        with store.lease(LOOP, 60):
            refused = here("--pipeline", "monitor", check=False)
        assert refused.returncode == 75
        assert f"Another loop runs (process {os.getpid()} on" in refused.stderr
        here("--pipeline", "monitor")
        assert [(one.stage, one.outcome) for one in store.history.events(NAME)] == [("monitor", "ok")]


def test_each_stage_is_in_zenml_and_mlflow(project: Project) -> None:
    printed = project.python(
        """
from stacks.apply import apply_stack
apply_stack("local")
from zenml.client import Client
from steps.support import registry
client = Client()
for name in ("monitor", "train", "deploy", "verify"):
    runs = client.list_pipeline_runs(pipeline=name, status="completed", sort_by="desc:created").items
    print(name, len(runs))
version = registry.version("accident-severity-dispatch", "2")
print("loop", version.run_metadata["loop"], version.run_metadata["probation"]["stays"])
report = client.list_pipeline_runs(pipeline="monitor", status="completed", sort_by="desc:created").items[0]
made = report.steps["report_window"].outputs["monitor_reports"][0]
print(*(one.uri.rsplit("/", 1)[-1] for one in made.visualizations))
import mlflow
client.active_stack.experiment_tracker.configure_mlflow()
runs = mlflow.search_runs(search_all_experiments=True, filter_string="tags.kind = 'monitor'")
print("mlflow", sorted(set(runs["tags.decision"])))
found = mlflow.MlflowClient().get_model_version_by_alias("accident-severity-dispatch", "champion")
print("tags", found.tags["loop_probation"], found.tags["loop"])
"""
    )
    lines = dict(line.split(" ", 1) for line in printed.splitlines())
    assert lines["verify"] == "1"
    assert lines["loop"] == "{'probation': 'passed'} True"
    assert lines["mlflow"] == "['keep', 'retrain']"
    assert lines["tags"].startswith("passed ")
    assert "report.html" in printed


def test_a_version_that_goes_wrong_in_its_first_hour_is_taken_back(project: Project) -> None:
    text = (project.folder / "params.yaml").read_text(encoding="utf-8")
    longer = text.replace("minutes: 0.1", "minutes: 5").replace("cooldown_days: 30", "cooldown_days: 0")
    (project.folder / "params.yaml").write_text(longer, encoding="utf-8")
    begun = len(events(project))
    loop = project.start("--pipeline", "monitor", "--input", "2024")
    wait_for(project, "verify", "started", loop, begun)
    assert served_version(project) == "3"
    daemon(project).kill()
    said, _ = loop.communicate(timeout=600)
    assert "Version 3 is taken back: " in said
    assert stages(project, begun)[-3:] == [
        ("verify", "failed"), ("rollback", "started"), ("rollback", "ok"),
    ]  # fmt: skip
    assert served_version(project) == "2"
    status = project("status").stdout
    assert "rollback of version 3: ok" in status
    (project.folder / "params.yaml").write_text(
        text.replace("cooldown_days: 30", "cooldown_days: 0"), encoding="utf-8"
    )


def test_a_server_that_died_is_healed_and_one_that_was_stopped_stays_so(project: Project) -> None:
    daemon(project).kill()
    done = project("--pipeline", "monitor")
    assert f"{NAME} should be served and is not" in done.stdout
    assert served_version(project) == "2"
    project("stop")
    done = project("--pipeline", "monitor")
    assert "should be served" not in done.stdout
    project("--pipeline", "deploy")


def test_killed_between_promotion_and_deployment_the_next_run_goes_on_there(project: Project) -> None:
    history, loop = History(database(project)), new_loop()
    now = datetime.now(UTC)
    history.add_event(loop, now, NAME, "monitor", "ok", "1", action="retrain", years=[2023], source="sample")
    history.add_event(loop, now, NAME, "train", "started", before="1", years=[2023])
    history.close()
    begun = len(events(project))
    done = project("--pipeline", "monitor")
    assert "A loop was left in the middle" in done.stdout
    assert stages(project, begun) == [
        ("promote", "ok"), ("deploy", "started"), ("deploy", "ok"), ("verify", "started"), ("verify", "ok"),
        ("monitor", "ok"),
    ]  # fmt: skip
    assert served_version(project) == "2"


def test_a_poisoned_year_is_not_promoted(project: Project) -> None:
    source = poisoned(project, 2024)
    begun = len(events(project))
    done = project("--pipeline", "monitor", "--input", "2024", "--source", str(source))
    assert stages(project, begun)[-1] == ("promote", "refused")
    assert "Performance is lost" in done.stdout
    assert served_version(project) == "2"


def poisoned(project: Project, year: int) -> Path:
    """The sample's years as a folder, with the outcomes of one of them shuffled."""
    source = project.folder / "poisoned"
    shutil.copytree(project.folder / "data" / "sources" / "sample", source)
    (path,) = (source / str(year)).glob("usagers*")
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        users = pd.read_csv(lines, sep=";", dtype=str, keep_default_na=False)
    users["grav"] = np.random.default_rng(1).permutation(users["grav"])
    with opened(path, "wt", encoding="utf-8") as lines:
        users.to_csv(lines, sep=";", index=False)
    return source


def test_mlflow_gone_in_the_middle_of_a_retraining(project: Project) -> None:
    begun = len(events(project))
    mlflow = project.folder / ".zenml" / "artifacts" / "mlflow.db"
    loop = project.start("--pipeline", "monitor", "--input", "2025")
    wait_for(project, "train", "started", loop, begun)
    kept = mlflow.with_suffix(".kept")
    mlflow.rename(kept)
    mlflow.mkdir()  # nothing can be opened there
    said, _ = loop.communicate(timeout=600)
    assert loop.returncode == 1
    assert "The retraining failed" in said.replace("\n", " ")
    assert "Traceback" not in said
    assert stages(project, begun)[-1] == ("train", "failed")
    assert served_version(project) == "2"
    mlflow.rmdir()
    kept.rename(mlflow)
    again = project("--pipeline", "monitor", "--input", "2025")
    assert stages(project, begun)[-1] == ("verify", "ok"), again.stdout


def test_a_shift_of_severity_in_the_log_is_mended_by_a_recalibration(project: Project) -> None:
    """Predictions of a world that has grown more severe, with their outcomes, as they stand in the log."""
    begun, before = len(events(project)), newest_bundle(project.folder)
    log = PredictionLog(database(project))
    log_predictions(project.folder, log, 1_500, year=2026, drift="severity_shift", labels=True)
    log.close()
    done = project("--pipeline", "monitor", "--last", "1500")
    found = report(project)
    assert found.decision.firing == ("performance",), done.stdout
    assert found.decision.action == "recalibrate"
    assert ("promote", "ok") in stages(project, begun), done.stdout
    assert stages(project, begun)[-1] == ("verify", "ok")
    mended = newest_bundle(project.folder)
    assert mended.facts["recalibrated"]["version"] == found.measurements.champion.version
    assert mended.model.booster.text == before.model.booster.text
    # What was lost is found again, on the same accidents.
    again = project("--pipeline", "monitor", "--last", "1500", "--decide-only")
    assert report(project).decision.firing == (), again.stdout


def test_drift_and_a_lost_ranking_in_the_log_ask_for_a_retraining(project: Project) -> None:
    log = PredictionLog(database(project))
    log_predictions(project.folder, log, 1_500, year=2026, drift="new_vehicle", labels=True, by_chance=True)
    log.close()
    at_once = project.folder / "at_once.yaml"
    params = (project.folder / "params.yaml").read_text(encoding="utf-8")
    at_once.write_text(params.replace("cooldown_days: 30", "cooldown_days: 0"), encoding="utf-8")
    look = ["--pipeline", "monitor", "--last", "1500", "--decide-only", "--params", str(at_once)]
    done = project(*look)
    decision = report(project).decision
    assert {"features", "performance"} <= set(decision.firing), done.stdout
    assert decision.action == "retrain"
    assert "Drift and a performance loss together: train again." in decision.reasons


def test_again_and_again_through_errors_until_it_is_told_to_stop(project: Project) -> None:
    file = project.folder / ".serving" / "predictions.db"
    looks = len([one for one in stages(project) if one == ("monitor", "ok")])

    def looked() -> int:
        return len([one for one in stages(project) if one == ("monitor", "ok")]) - looks

    watch = project.start("--pipeline", "monitor", "--every", "10s", "--decide-only")
    try:
        _until(lambda: looked() >= 1)
        _break(file)
        said = _said(watch, "cannot be used")
        _mend(file)
        so_far = looked()
        _until(lambda: looked() > so_far)
        assert watch.poll() is None
    finally:
        os.killpg(watch.pid, signal.SIGINT)
        last, _ = watch.communicate(timeout=60)
    said += last
    assert "Next look" in said
    assert "Traceback" not in said


def _said(process: Process, text: str) -> str:
    """What it says until it has said that."""
    said = ""
    while text not in said.replace("\n", " "):
        line = process.stdout.readline()
        assert line, f"ended without {text!r}:\n{said}"
        said += line
    return said


def _break(file: Path) -> None:
    for path in file.parent.glob("predictions.db*"):
        path.rename(path.with_name(f"kept-{path.name}"))
    file.write_bytes(b"no database at all, only some text that is long enough" * 100)


def _mend(file: Path) -> None:
    for path in file.parent.glob("predictions.db*"):
        path.unlink()
    for path in file.parent.glob("kept-predictions.db*"):
        path.rename(path.with_name(path.name.removeprefix("kept-")))


def _until(true: Callable[[], bool]) -> None:
    for _ in range(6_000):
        try:
            if true():
                return
        except PredictionLogError:
            pass
        time.sleep(0.1)
    pytest.fail("it never came to that")


@needs_programs
def test_an_alert_starts_the_loop_which_mends_the_endpoint(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The real Prometheus sees that the model server is gone, the real Alertmanager tells the API, the API
    starts the loop, and this deploys the champion again: nobody does anything."""
    key = re.search(r"acc_\S+", project("keys", "new", "--hook", "--name", "alertmanager").stdout)
    assert key
    api, *ports = free_addresses(4)
    _fix_ports(project, ports)  # the API knows the model server by its address: it must come back there
    project.environment["ACCIDENTS_PORT"] = api.rpartition(":")[2]
    project("serve", "--detach")
    begun = len(events(project))
    metrics = project.python(METRICS_PORT).strip()
    with watching(tmp_path_factory.mktemp("watch"), api, f"127.0.0.1:{metrics}", key[0]) as watch:
        until(lambda: watch.query("accidents_ready == 1"), "the endpoint is seen to be ready", 60)
        daemon(project).kill()
        until(lambda: "EndpointNotReady" in watch.firing(), "the alert fires", 60)
        until(lambda: ("monitor", "ok") in stages(project, begun), "the loop has run", 240)
        until(lambda: watch.query("accidents_ready == 1"), "the endpoint is ready again", 60)
    (looked,) = [one for one in events(project)[begun:] if one.stage == "monitor"]
    assert looked.detail["reason"] == "alert"
    assert "should be served and is not" in (project.folder / ".serving" / "loop.log").read_text()
    project("stop")


def _fix_ports(project: Project, addresses: list[str]) -> None:
    stack = project.folder / "stacks" / "local.yaml"
    text = stack.read_text(encoding="utf-8")
    for name, address in zip(("http_port", "grpc_port", "metrics_port"), addresses, strict=True):
        text = text.replace(f"{name}: 0", f"{name}: {address.rpartition(':')[2]}")
    stack.write_text(text, encoding="utf-8")
    project("stop")
    project("--pipeline", "deploy")


METRICS_PORT = """
from stacks.apply import apply_stack
apply_stack("local")
from zenml.client import Client
print(Client().active_stack.model_deployer.server.daemon().metrics_port)
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pipeline", "monitor", "--every", "often"), "is no period: write 30m, 6h or 1d"),
        (("--pipeline", "monitor", "--every", "1d", "--input", "2023"), "do not go together"),
        (("--pipeline", "monitor", "--input", "no.csv"), "there is no such file"),
        (("--pipeline", "monitor", "--input", "1066"), "1066"),
    ],
)
def test_what_cannot_be_meant(project: Project, words: tuple[str, ...], message: str) -> None:
    done = project(*words, check=False)
    assert done.returncode == 1
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
