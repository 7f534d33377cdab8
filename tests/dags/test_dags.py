"""The DAGs in Airflow's own environment: read without a warning, and executed on the local stack."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from accidents.predictions.prediction_log import PredictionLog
from accidents.predictions.store import LOOP, PredictionStore
from observability.addresses import Addresses, write_configs
from observability.programs import commands
from tests.conftest import ROOT
from tests.dags.airflow_home import PYTHON, Airflow, in_airflow
from tests.monitor_traffic import log_predictions
from tests.observability.servers import free_addresses, needs_programs, program
from tests.pipelines.conftest import Project, trained  # noqa: F401 - a fixture
from tests.pipelines.looping import (
    database,
    kill,
    model_server,
    other_params,
    serve,
    served_bundle,
    stages,
    wait_for,
    with_own_log,
)
from tests.pipelines.served import served_version
from tests.test_loop_deadlines import TRAINING, longest_probation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(PYTHON is None, reason="Airflow's environment is not here: make dags"),
]
STAGES = ("train", "promote", "deploy", "verify", "roll_back")
SKIPPED = dict.fromkeys(STAGES, "skipped")

READ = """
import json, sys, warnings
import airflow.sdk
from airflow.configuration import conf
from airflow.dag_processing.dagbag import BundleDagBag
folder = conf.get("core", "dags_folder")
seconds = {}
hours = lambda delta: delta.total_seconds() / 3600

def longest(task):
    # Hours that a task and all after it may take, with every try and every wait between two.
    tries = (task.retries + 1) * hours(task.execution_timeout) + task.retries * hours(task.max_retry_delay)
    return tries + max(map(longest, task.downstream_list), default=0)

for _ in range(3):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
    for one in bag.dagbag_stats:
        seconds.setdefault(one.file, []).append(one.duration.total_seconds())
print(json.dumps({
    "errors": bag.import_errors,
    "warnings": [str(one.message) for one in said] + list(bag.captured_warnings),
    "seconds": {file: min(several) for file, several in seconds.items()},
    "heavy": sorted({"zenml", "pandas", "numpy", "mlflow", "accidents", "commands"} & set(sys.modules)),
    "dags": {
        name: {
            "catchup": dag.catchup, "runs": dag.max_active_runs, "doc": bool(dag.doc_md),
            "params": sorted(dag.params), "tasks": [task.task_id for task in dag.tasks],
            "bare": [task.task_id for task in dag.tasks
                     if not (task.retries and task.execution_timeout and task.retry_exponential_backoff
                             and task.on_failure_callback)],
            "tells": bool(dag.on_failure_callback),
            "hours": {task.task_id: hours(task.execution_timeout) for task in dag.tasks},
            "too short": hours(dag.dagrun_timeout) <= max(map(longest, dag.roots)),
        } for name, dag in bag.dags.items()},
}))
"""


def test_they_are_read_fast_without_a_warning_and_without_the_project(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "dags").symlink_to(ROOT / "dags")
    read = in_airflow(READ, tmp_path / "home")
    assert read["errors"] == {}
    assert read["warnings"] == []
    assert read["heavy"] == []
    assert max(read["seconds"].values()) <= 0.5, read["seconds"]
    given = [dag.pop("hours") for dag in read["dags"].values()]
    for hours in (dag for dag in given if "train" in dag):
        assert hours["train"] == TRAINING
        (look,) = hours.keys() & {"monitor", "look"}  # it also finishes what was left in the middle
        needed = {"deploy": 0, "verify": 0, look: TRAINING}
        short = [task for task in needed if hours[task] <= needed[task] + longest_probation()]
        assert short == [], "they would be killed, and begin again, for ever"
    rest = {"catchup": False, "runs": 1, "doc": True, "bare": [], "tells": True, "too short": False}
    of_a_year = ["source", "stack", "stage", "years"]
    assert read["dags"] == {
        "accidents_daily": {"params": ["stack", "stage"], "tasks": ["monitor", *STAGES], **rest},
        "accidents_yearly": {"params": of_a_year, "tasks": ["download", "check"], **rest},
        "accidents_new_year": {"params": of_a_year, "tasks": ["look", *STAGES], **rest},
    }


TOLD = """
import json, os, sys
from datetime import UTC, datetime
from uuid import uuid4
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
import structlog
from airflow.api_fastapi.execution_api.datamodels.taskinstance import DagRun, TaskInstance, TIRunContext
from airflow.callbacks.callback_requests import DagCallbackRequest, DagRunContext, TaskCallbackRequest
from airflow.configuration import conf
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.dag_processing.processor import _execute_dag_callbacks, _execute_task_callbacks
from airflow.sdk.execution_time.comms import XComSequenceSliceResult
from airflow.sdk.execution_time.supervisor import set_supervisor_comms

told = []
class Alertmanager(BaseHTTPRequestHandler):
    def do_POST(self):
        told.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

server = HTTPServer(("127.0.0.1", 0), Alertmanager)
Thread(target=server.serve_forever, daemon=True).start()
os.environ["ACCIDENTS_ALERTMANAGER"] = f"http://127.0.0.1:{server.server_port}"
folder = conf.get("core", "dags_folder")
bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
where = {"filepath": "one.py", "bundle_name": "dags-folder", "bundle_version": None}
now = datetime.now(UTC)

def failed(dag, task, started=(), **how):
    # A run that these announcements have started, and its task.
    which = {"dag_id": dag, "run_id": "one"}
    events = [{
        "asset": {"name": "accidents_raw_year", "uri": "accidents://raw/year", "extra": {}}, "extra": extra,
        "source_task_id": None, "source_dag_id": None, "source_run_id": None, "source_map_index": None,
        "source_aliases": [], "timestamp": now,
    } for extra in started]
    run = DagRun(
        logical_date=now, data_interval_start=now, data_interval_end=now, run_after=now, start_date=now,
        end_date=now, run_type="scheduled", state="failed", consumed_asset_events=events, partition_key=None,
        **which, **how,
    )
    return run, TaskInstance(id=uuid4(), task_id=task, try_number=2, dag_version_id=uuid4(), **which)
"""
TIMED_OUT = """
run, task = failed("accidents_daily", "train", conf={"stage": "on_scene"})
for reason in ("task_failure", "timed_out"):
    request = DagCallbackRequest(
        msg=reason, dag_id=run.dag_id, run_id=run.run_id, is_failure_callback=True,
        context_from_server=DagRunContext(dag_run=run, last_ti=task), **where,
    )
    _execute_dag_callbacks(bag, request, structlog.get_logger())
print(json.dumps(told))
"""
LOOKED_AT = """
sys.path.insert(0, folder)
import shared_tasks
def look(*words):
    # As `run.py` does with --report.
    decided = {"decision": {"action": "retrain", "reasons": ["drift"]}}
    Path(words[words.index("--report") + 1]).write_text(json.dumps(decided))

class Server:
    # What Airflow's own knows of a run: what its look has decided, if it has.
    def __init__(self, look):
        self.look = look

    def send(self, msg):
        return XComSequenceSliceResult(root=[self.look] if self.look and msg.task_id == "look" else [])

def labels(name, server):
    # Of the alert about a task, and whether it was told.
    run, task = failed("accidents_new_year", name, [{"years": "2024", "stage": "on_scene"}])
    with set_supervisor_comms(server):
        _execute_task_callbacks(bag, TaskCallbackRequest(
            ti=task, msg="killed", context_from_server=TIRunContext(dag_run=run, max_tries=2), **where,
        ), structlog.get_logger())
    one = told.pop()["labels"]
    return [one["task"], one["stack"], one["stage"]]

choice = {"stack": "staging", "stage": "dispatch", "year": 2024}
decided = Server(shared_tasks.decision(look, shared_tasks.only("monitor", choice), choice))
print(json.dumps({
    "behind": labels("train", decided), "last": labels("roll_back", decided), "look": labels("look", decided),
    "not yet": labels("train", Server(None)), "not asked": labels("train", None),
}))
"""


def test_a_run_that_takes_too_long_is_told_by_the_task_it_was_at(tmp_path: Path) -> None:
    """What the DAG processor does when the scheduler has skipped the rest; a task that failed has told."""
    (tmp_path / "home").mkdir()
    (tmp_path / "dags").symlink_to(ROOT / "dags")
    (told,) = in_airflow(TOLD + TIMED_OUT, tmp_path / "home")
    assert (told["labels"]["dag"], told["labels"]["task"]) == ("accidents_daily", "train")
    assert (told["labels"]["stack"], told["labels"]["stage"]) == ("local", "on_scene")
    assert told["annotations"]["description"].endswith("try 2: the run did not come to its end: timed_out")


def test_a_task_behind_the_look_is_told_of_the_model_that_was_looked_at(tmp_path: Path) -> None:
    """Of two stages that were announced while a run was under way, Airflow hands on the first alone."""
    (tmp_path / "home").mkdir()
    (tmp_path / "dags").symlink_to(ROOT / "dags")
    assert in_airflow(TOLD + LOOKED_AT, tmp_path / "home") == {
        "behind": ["train", "staging", "dispatch"],
        "last": ["roll_back", "staging", "dispatch"],
        "look": ["look", "local", "on_scene"],
        "not yet": ["train", "local", "on_scene"],
        "not asked": ["train", "local", "on_scene"],
    }


ASKED = """
import json, sys
from datetime import UTC, datetime
from types import SimpleNamespace
from airflow.configuration import conf
sys.path.insert(0, conf.get("core", "dags_folder"))
import accidents_yearly, shared_tasks

class Events(list):
    def after(self, first):
        return [event for event in self if event.timestamp >= first]

def asked(form, *extras, started=()):
    # The commands of a run that these announcements have started; all of them are kept by Airflow.
    events = Events(SimpleNamespace(extra=extra, timestamp=number) for number, extra in enumerate(extras))
    date = datetime(2026, 12, 1, tzinfo=UTC)
    shared_tasks.get_current_context = accidents_yearly.get_current_context = lambda: {
        "params": {"stack": "local", "stage": "dispatch", "years": None, "source": None, **form},
        "dag_run": SimpleNamespace(consumed_asset_events=[events[one] for one in started], run_after=date),
    }
    announced = accidents_yearly.announced({accidents_yearly.RAW_YEAR: events})
    return [accidents_yearly.look_at(choice) for choice in shared_tasks.choices(announced)]

def refused(*texts):
    # What is said of years that are none.
    said = []
    for text in texts:
        try:
            asked({}, {"years": text}, started=(0,))
        except shared_tasks.AirflowFailException as error:
            said.append(str(error))
    return said

form = {"years": "2023", "source": "/srv/baac", "stack": "staging", "stage": "on_scene"}
by_hand = asked(form, {"years": 2022})
told = {"words": accidents_yearly.years_and_source(), "extra": accidents_yearly.announcement()}
run = SimpleNamespace(consumed_asset_events=[SimpleNamespace(extra=told["extra"])])
context = {"params": {"stack": "local", "stage": "dispatch"}, "dag_run": run}
task = SimpleNamespace(task_id="look")
told["labels"] = shared_tasks._model({**context, "dag": SimpleNamespace(roots=[task]), "ti": task})
several = (told["extra"], {"years": 2022}, {"year": 2022}, None)
print(json.dumps({
    **told, "by_hand": by_hand, "together": asked({}, *several, started=(0, 1, 2, 3)),
    "alone": asked({}, {"year": 2021}, told["extra"], started=(1,)),
    "while_it_waited": asked({}, {"year": 2021}, {"year": 2022}, told["extra"], started=(1,)),
    "in_the_form": asked({"years": "2024, 2020-2021"}), "and_announced": accidents_yearly.announcement(),
    "no_years": refused("2024-2021", "20", "2020,x", "2024-2021,2020"),
}))
"""


def test_a_year_from_elsewhere_is_announced_and_looked_at_as_the_form_said(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "dags").symlink_to(ROOT / "dags")
    asked = in_airflow(ASKED, tmp_path / "home")
    elsewhere = ["--source", "/srv/baac", "--stack", "staging", "--stage", "on_scene"]
    usual = ["--stack", "local", "--stage", "dispatch"]

    def look(year: int, *words: str) -> list[str]:
        return ["--pipeline", "monitor", "--input", str(year), "--reason", "airflow", *words]

    assert asked["words"] == ["2023", "--source", "/srv/baac"]
    assert asked["labels"] == {"stack": "staging", "stage": "on_scene"}
    assert asked["by_hand"] == asked["alone"] == [look(2023, *elsewhere)]
    assert asked["together"] == [look(2022, *usual), look(2023, *elsewhere), look(2025, *usual)]
    assert asked["while_it_waited"] == [look(2022, *usual), look(2023, *elsewhere)]
    assert asked["in_the_form"] == [look(year, *usual) for year in (2020, 2021, 2024)]
    assert asked["and_announced"] == {"years": "2020,2021,2024", "stack": "local", "stage": "dispatch"}
    assert [said.partition(" are no years")[0] for said in asked["no_years"]] == [
        "'2024-2021'", "'20'", "'2020,x'", "'2024-2021,2020'",
    ]  # fmt: skip


WAITED = """
import json, os, sys
from datetime import timedelta
from pathlib import Path
from airflow.configuration import conf
sys.path.insert(0, conf.get("core", "dags_folder"))
import shared_tasks
shared_tasks.PROJECT, shared_tasks.PYTHON = Path(os.environ["AIRFLOW_HOME"]), Path(sys.executable)
shared_tasks.DEFAULTS["retry_delay"] = timedelta(seconds=0.1)
(shared_tasks.PROJECT / "run.py").write_text(
    "import sys; open('tries', 'a').write('.'); raise SystemExit(int(sys.argv[1]))"
)

def ended(code):
    tries = shared_tasks.PROJECT / "tries"
    tries.write_text("")
    try:
        shared_tasks.run_py_or_wait(str(code))
        how = "well"
    except Exception as error:
        how = type(error).__name__
    return [len(tries.read_text()), how]

print(json.dumps({code: ended(code) for code in (0, 1, 2, 75)}))
"""


def test_what_waits_for_another_loop_does_not_wait_with_an_error(tmp_path: Path) -> None:
    """Its many tries, an hour apart, would tell of one after a day and a half."""
    (tmp_path / "home").mkdir()
    (tmp_path / "dags").symlink_to(ROOT / "dags")
    assert in_airflow(WAITED, tmp_path / "home") == {
        "0": [1, "well"],
        "1": [3, "AirflowFailException"],  # not tried again by Airflow either
        "2": [1, "AirflowFailException"],
        "75": [1, "CommandFailedError"],  # which Airflow tries again
    }


@pytest.fixture(scope="module")
def champion(trained: Project) -> Iterator[Project]:  # noqa: F811
    """Version 1 serves."""
    trained("--pipeline", "deploy")
    yield trained
    trained("stop", check=False)


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real one, with the project's own file; its address."""
    folder = tmp_path_factory.mktemp("alerts")
    at = Addresses(*free_addresses(5), loop=False)
    write_configs(folder, at)
    with program("alertmanager", commands(folder, at)["alertmanager"], at.alertmanager, folder):
        yield f"http://{at.alertmanager}"


def alerts(address: str) -> list[dict[str, Any]]:
    """Those that stand there."""
    answer = httpx.get(f"{address}/api/v2/alerts", params={"active": "true"}, trust_env=False)
    found: list[dict[str, Any]] = answer.json()
    return [one for one in found if datetime.fromisoformat(one["endsAt"]) > datetime.now(UTC)]


def fill_log(project: Project, count: int = 600, **how: Any) -> None:
    with closing(PredictionLog(database(project))) as log:
        folder = Path(database(project).removeprefix("sqlite:///")).parent
        log_predictions(folder, served_bundle(project), log, count, year=2023, **how)


@pytest.fixture
def project(champion: Project, tmp_path: Path) -> Project:
    """Version 1 is champion and serves; log and history are empty."""
    serve(champion, "1")
    return with_own_log(champion, tmp_path)


@needs_programs
def test_what_failed_is_tried_again_and_told_until_a_quiet_day(project: Project, alertmanager: str) -> None:
    airflow = Airflow(project, ACCIDENTS_ALERTMANAGER=alertmanager)
    ended, said = airflow.run("accidents_daily", stage="on_scene")  # nobody has trained that one
    assert ended["monitor"] == "failed", said
    assert {ended[stage] for stage in STAGES} == {"upstream_failed"}
    assert said.count("has no champion yet to watch") >= 3
    (told,) = alerts(alertmanager)
    assert told["labels"] == {
        "alertname": "AirflowTaskFailed", "severity": "warning", "dag": "accidents_daily", "task": "monitor",
        "stack": "local", "stage": "on_scene",
    }  # fmt: skip
    assert told["annotations"].keys() == {"summary", "description", "runbook"}
    assert "has no champion yet" in told["annotations"]["description"]
    page, _, section = told["annotations"]["runbook"].partition("#")
    assert f"## {section}" in (ROOT / page).read_text(encoding="utf-8").lower()

    database = {"ACCIDENTS_DATABASE_URL": f"sqlite:///{project.folder / 'nowhere' / 'predictions.db'}"}
    Airflow(project, ACCIDENTS_ALERTMANAGER=alertmanager, **database).run("accidents_daily")
    assert {one["labels"]["stage"] for one in alerts(alertmanager)} == {"dispatch", "on_scene"}

    fill_log(project)
    ended, said = airflow.run("accidents_daily")
    assert ended == {"monitor": "success", **SKIPPED}, said
    assert "train is not due: the last loop ended with monitor (keep)." in said
    assert stages(project)[-1] == ("monitor", "ok")
    assert [one["labels"] for one in alerts(alertmanager)] == [told["labels"]], "the other model's stands"


def test_a_drifted_day_retrains_deploys_and_verifies(project: Project) -> None:
    fill_log(project, 1_500, drift="speed_limit", labels=True, by_chance=True)
    ended, said = Airflow(project).run("accidents_daily")
    done = dict.fromkeys(("monitor", *STAGES), "success")
    assert ended == {**done, "roll_back": "skipped"}, said
    assert stages(project) == [
        ("monitor", "ok"), ("train", "started"), ("train", "ok"), ("promote", "ok"), ("deploy", "started"),
        ("deploy", "ok"), ("verify", "started"), ("verify", "ok"),
    ]  # fmt: skip
    assert served_version(project) == "2"


def test_beside_another_loop_nothing_is_done(project: Project) -> None:
    with (
        closing(PredictionStore(database(project))) as store,
        store.lease(LOOP, 60),
    ):
        ended, said = Airflow(project).run("accidents_daily")
    assert ended == {"monitor": "skipped", **SKIPPED}, said
    assert "Another loop runs" in said
    assert stages(project) == []


def test_beside_a_loop_of_another_command_nothing_is_done_and_it_goes_on(project: Project) -> None:
    loop = project.start("--pipeline", "monitor", "--input", "2025", *other_params(project, minutes="5"))
    wait_for(project, "verify", "started", loop)
    try:
        ended, said = Airflow(project).run("accidents_daily")
        assert ended == {"monitor": "skipped", **SKIPPED}, said
        assert f"Another loop runs (process {loop.pid}" in said
        assert stages(project)[-1] == ("verify", "started")
        assert loop.poll() is None
    finally:
        kill(loop)


def test_a_new_year_is_had_announced_trained_on_and_deployed(project: Project) -> None:
    airflow = Airflow(project)
    ended, said = airflow.run("accidents_yearly", years="2024")
    assert ended == {"download": "success", "check": "success"}, said
    assert "2024: 4,0" in said or "2024: 3,9" in said
    ((extra,),) = airflow.rows("SELECT extra FROM asset_event ORDER BY id DESC LIMIT 1")
    announced = json.loads(extra)
    assert announced["years"] == "2024"
    ended, said = airflow.run("accidents_new_year", **announced)
    done = dict.fromkeys(("look", *STAGES), "success")
    assert ended == {**done, "roll_back": "skipped"}, said
    assert stages(project)[-1] == ("verify", "ok")
    assert served_bundle(project).facts["years"] == [2021, 2022, 2024]


def test_years_that_are_had_are_announced_and_those_that_are_known_lead_to_nothing(project: Project) -> None:
    airflow = Airflow(project)
    ended, said = airflow.run("accidents_yearly", years="2021-2022")
    assert ended == {"download": "success", "check": "success"}, said
    for year in (2021, 2022):
        assert f"{year}: 4,0" in said or f"{year}: 3,9" in said
    ((extra,),) = airflow.rows("SELECT extra FROM asset_event ORDER BY id DESC LIMIT 1")
    assert json.loads(extra)["years"] == "2021,2022"
    ended, said = airflow.run("accidents_new_year", **json.loads(extra))
    assert ended == {"look": "success", **SKIPPED}, said
    assert re.findall(r"--input (\d{4})", said) == ["2021", "2022"]


SLOW = {"canary": "[20]", "latency": "0.000001"}  # nothing is so quick


@needs_programs
@pytest.mark.parametrize(
    ("year", "params", "verify"),
    [(2025, {}, "success"), (2026, SLOW, "skipped")],
    ids=["its server dies in the first hour", "it is slow as a canary"],
)
def test_a_version_that_goes_wrong_is_taken_back_and_the_run_is_red(
    project: Project, alertmanager: str, year: int, params: dict[str, str], verify: str
) -> None:
    """Of a canary that fails nothing is left to verify."""
    airflow = Airflow(project, ACCIDENTS_ALERTMANAGER=alertmanager)
    with params_with(project, minutes="5", **params), ThreadPoolExecutor(1) as pool:
        running = pool.submit(airflow.run, "accidents_new_year", years=year)
        if not params:
            wait_until(lambda: ("verify", "started") in stages(project), running)
            model_server(project).kill()
        ended, said = running.result()
    done = dict.fromkeys(("look", "train", "promote", "deploy"), "success")
    assert ended == {**done, "verify": verify, "roll_back": "failed"}, said
    assert stages(project)[-3:] == [("verify", "failed"), ("rollback", "started"), ("rollback", "ok")], said
    assert served_version(project) == "1"
    assert airflow.rows("SELECT state FROM dag_run ORDER BY id DESC LIMIT 1") == [("failed",)]
    told = [one for one in alerts(alertmanager) if one["labels"]["task"] == "roll_back"]
    assert ["was taken back" in one["annotations"]["description"] for one in told] == [True]
    assert (told[0]["labels"]["stack"], told[0]["labels"]["stage"]) == ("local", "dispatch")
    assert "Which model was looked at is not known" not in said


@contextmanager
def params_with(project: Project, **changes: str) -> Iterator[None]:
    """Have other values in the project's params.yaml for a while."""
    path = project.folder / "params.yaml"
    before = path.read_text(encoding="utf-8")
    _, changed = other_params(project, **changes)
    path.write_text((project.folder / changed).read_text(encoding="utf-8"), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


def wait_until(true: Callable[[], bool], running: Future[tuple[dict[str, str], str]]) -> None:
    """Wait for what a run that goes on in the background comes to."""
    while not true():
        assert not running.done(), running.result()
        time.sleep(0.2)
