"""Monitoring as people run it, on one served champion: each test has a log and a history of its own.

The model server, MLflow's database, the processes and what is done to them are real.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from accidents.monitoring.measurements import MonitorReport
from accidents.predictions.prediction_log import PredictionLog, PredictionLogError
from accidents.predictions.store import LOOP, opened_store
from commands.background import Background
from tests.monitor_traffic import log_predictions
from tests.observability.servers import free_addresses, needs_programs, until, watching
from tests.pipelines.conftest import Project
from tests.pipelines.looping import (
    DATABASE,
    database,
    events,
    model_server,
    report,
    serve,
    served_bundle,
    stages,
    with_own_log,
)
from tests.pipelines.served import NAME, served_version
from tests.postgres import PASSWORD, PostgresServer
from tests.predictions import prediction
from tests.warm import Process

pytest_plugins = ("tests.log_fixtures",)  # the fixture `postgres`
pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def champion(trained: Project) -> Iterator[Project]:
    """Without a champion there is nothing to watch: test_replay.py."""
    yield trained
    trained("stop", check=False)


@pytest.fixture
def project(champion: Project, tmp_path: Path) -> Project:
    """The champion serves; log and history are empty."""
    serve(champion, "1")
    return with_own_log(champion, tmp_path)


def test_an_empty_log_keeps(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "none yet" / "predictions.db"
    project.environment[DATABASE] = f"sqlite:///{file}"
    done = project("--pipeline", "monitor", check=False)
    assert done.returncode == 1
    assert "There is no prediction log at" in done.stderr
    assert "python run.py database upgrade" in done.stderr.replace("\n", " ")
    assert not file.exists(), "made by who only reads"
    with closing(PredictionLog(database(project))) as log:
        log.create()
    done = project("--pipeline", "monitor")
    assert "The window is empty" in done.stdout
    assert report(project).decision.action == "keep"
    assert stages(project) == [("monitor", "ok")]
    metrics = (project.folder / "reports" / "monitor" / f"metrics-{NAME}.prom").read_text(encoding="utf-8")
    assert f'accidents_monitor_decision{{action="keep",model="{NAME}"}} 1.0' in metrics
    assert f'accidents_monitor_rows{{model="{NAME}"}} 0.0' in metrics


def test_one_prediction_and_a_year_before_the_reference_decide_nothing(project: Project) -> None:
    with closing(PredictionLog(database(project))) as log:
        log_predictions(project.folder / "traffic", served_bundle(project), log, 1, year=2026)
        # One that was not long ago: after a pause of months a log ages by what was before it.
        log.write([prediction(created=datetime.now(UTC) - timedelta(days=days)) for days in (35, 399, 401)])
        done = project("--pipeline", "monitor")
        assert log.count() == 3
    assert "Predictions older than params.yaml keeps, removed: 1." in done.stdout
    assert "Too few accidents to say anything: 1" in done.stdout
    done = project("--pipeline", "monitor", "--input", "2019")
    assert "tells of the past" in done.stdout
    assert report(project).decision.action == "keep"


def test_a_gateway_that_is_down_stops_nothing_and_a_decision_can_be_left_at_that(
    project: Project, tmp_path: Path
) -> None:
    project.environment["ACCIDENTS_PUSHGATEWAY"] = "http://127.0.0.1:9"
    own = tmp_path / "look.json"
    words = ("--pipeline", "monitor", "--input", "2023", "--decide-only", "--report")
    refused = project(*words, str(tmp_path / "nowhere" / "look.json"), check=False)
    assert (refused.returncode, "there is no folder" in " ".join(refused.stderr.split())) == (1, True)
    done = project(*words, str(own))
    assert MonitorReport.model_validate_json(own.read_text(encoding="utf-8")) == report(project)
    assert "does not take the metrics" in done.stdout.replace("\n", " ")
    assert "Labels of 2023 have come in" in done.stdout
    assert report(project).decision.action == "retrain"
    assert stages(project)[-1] == ("train", "skipped")
    assert ("train", "started") not in stages(project)


def test_a_loop_elsewhere_on_a_shared_log_keeps_this_one_out(
    project: Project, postgres: PostgresServer
) -> None:
    address = postgres.new_database()
    project.environment[DATABASE] = address
    refused = project("--pipeline", "monitor", check=False)
    assert (refused.returncode, f"{postgres.port}/log_" in refused.stderr) == (1, True), "there is none yet"
    assert PASSWORD not in refused.stderr
    assert "is up to date" in project("database", "upgrade").stdout
    with opened_store(address) as store:
        with store.lease(LOOP, 60):
            refused = project("--pipeline", "monitor", check=False)
        assert refused.returncode == 75
        assert f"Another loop runs (process {os.getpid()} on" in refused.stderr
        project("--pipeline", "monitor")
        assert [(event.stage, event.outcome) for event in store.history.events(NAME)] == [("monitor", "ok")]


def test_a_server_that_died_is_healed_and_one_that_was_stopped_stays_so(project: Project) -> None:
    model_server(project).kill()
    done = project("--pipeline", "monitor")
    assert f"{NAME} should be served and is not" in done.stdout
    assert served_version(project) == "1"
    project("stop")
    done = project("--pipeline", "monitor")
    assert "should be served" not in done.stdout
    assert served_version(project) is None


def test_drift_and_a_lost_ranking_in_the_log_ask_for_a_retraining(project: Project) -> None:
    with closing(PredictionLog(database(project))) as log:
        log_predictions(
            project.folder / "traffic", served_bundle(project), log, 1_500, year=2026, drift="new_vehicle",
            labels=True, by_chance=True,
        )  # fmt: skip
    done = project("--pipeline", "monitor", "--last", "1500", "--decide-only")
    decision = report(project).decision
    assert {"features", "performance"} <= set(decision.firing), done.stdout
    assert decision.action == "retrain"
    assert "Drift and a performance loss together: train again." in decision.reasons


def test_again_and_again_through_errors_until_it_is_told_to_stop(project: Project) -> None:
    file = Path(database(project).removeprefix("sqlite:///"))

    def looked() -> int:
        return stages(project).count(("monitor", "ok"))

    watch = project.start("--pipeline", "monitor", "--every", "10s", "--decide-only")
    try:
        _until(lambda: looked() >= 1)
        _break(file)
        printed = _printed(watch, "cannot be used")
        _mend(file)
        so_far = looked()
        _until(lambda: looked() > so_far)
        assert watch.poll() is None
    finally:
        os.killpg(watch.pid, signal.SIGINT)
        last, _ = watch.communicate(timeout=60)
    printed += last
    assert "Next look" in printed
    assert "Traceback" not in printed


def _printed(process: Process, text: str) -> str:
    """What it prints until it has printed that."""
    printed = ""
    while text not in printed.replace("\n", " "):
        line = process.stdout.readline()
        assert line, f"ended without {text!r}:\n{printed}"
        printed += line
    return printed


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
    project.environment["ACCIDENTS_PORT"] = api.rpartition(":")[2]
    # The API knows the model server by its address: it must come back there.
    with _fixed_ports(project, ports), _api(project):
        metrics = project.python(METRICS_PORT).strip()
        with watching(tmp_path_factory.mktemp("watch"), api, f"127.0.0.1:{metrics}", key[0]) as watch:
            until(lambda: watch.query("accidents_ready == 1"), "the endpoint is seen to be ready", 60)
            model_server(project).kill()
            until(lambda: "EndpointNotReady" in watch.firing(), "the alert fires", 60)
            until(lambda: ("monitor", "ok") in stages(project), "the loop has run", 240)
            until(lambda: watch.query("accidents_ready == 1"), "the endpoint is ready again", 60)
    (looked,) = [event for event in events(project) if event.stage == "monitor"]
    assert looked.detail["reason"] == "alert"
    assert "should be served and is not" in (project.folder / ".serving" / "loop.log").read_text()


@contextmanager
def _fixed_ports(project: Project, addresses: list[str]) -> Iterator[None]:
    """The model server listens at these, and after this at any again."""
    stack = project.folder / "stacks" / "local.yaml"
    usual = text = stack.read_text(encoding="utf-8")
    for name, address in zip(("http_port", "grpc_port", "metrics_port"), addresses, strict=True):
        text = text.replace(f"{name}: 0", f"{name}: {address.rpartition(':')[2]}")
    stack.write_text(text, encoding="utf-8")
    project("stop")
    project("--pipeline", "deploy")
    try:
        yield
    finally:
        project("stop")
        stack.write_text(usual, encoding="utf-8")


@contextmanager
def _api(project: Project) -> Iterator[None]:
    project("serve", "--detach")
    try:
        yield
    finally:
        Background(project.folder / ".serving", "api").stop()


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
