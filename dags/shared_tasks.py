"""What the DAGs share: a command of `run.py` as a task, the stages of the loop, the form, the alert.

Nothing of the project is imported, nor what it needs: a task starts `run.py` with the project's own Python,
as a person does by hand. DAG files are read again every minute.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow.sdk import Param, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

PROJECT = Path(__file__).resolve().parent.parent
PYTHON = PROJECT / ".venv" / "bin" / "python"
ALERTMANAGER = "ACCIDENTS_ALERTMANAGER"  # address of the one that is told of tasks that have failed
STACK = "ACCIDENTS_STACK"  # that a run is on, unless the form says otherwise
RETRY_SECONDS = "ACCIDENTS_RETRY_SECONDS"  # from a failure to the first new try; then twice as long each time

NOT_UNDERSTOOD, BUSY, NOT_DUE = 2, 75, 99  # exit codes of run.py, beside 0 and 1
_OF_AIRFLOW = ("AIRFLOW", "_AIRFLOW", "__AIRFLOW", "PYTHON", "VIRTUAL_ENV")
_END_SECONDS = 60
# A probation may last a day (params.yaml), and each share of a canary is a pipeline run more. A task that is
# killed in it begins it again: with less time it would never come to its end.
WATCHED = timedelta(hours=26)
LOOP = timedelta(hours=36)  # of one that was left in the middle, a training and a probation, and then a look
_ALERT_STANDS = timedelta(days=2)  # unless the task goes well before
_MODEL = ("stack", "stage")  # what names a model in a choice, a decision and an alert

START = datetime(2006, 1, 1, tzinfo=UTC)  # before it Airflow makes no tasks, so a back-fill would be empty


class CommandFailedError(Exception):
    """A command of run.py has failed; the task's log has its words."""


def run_py(*words: str) -> None:
    """Run `python run.py WORDS` in the project's folder, each line into the task's log.

    Raises
    ------
    AirflowSkipException : what was asked for is not due, or another loop runs and does it.
    AirflowFailException : the words were not understood: a further try would change nothing.
    CommandFailedError : anything else went wrong.
    """
    code, last = _run([str(PYTHON), "run.py", *words])
    if code in (NOT_DUE, BUSY):
        raise AirflowSkipException(last)
    if code == NOT_UNDERSTOOD:
        raise AirflowFailException(last)
    if code:
        raise CommandFailedError(f"run.py {' '.join(words)} ended with exit code {code}: {last}")


def run_py_or_wait(*words: str) -> None:
    """Run it as `run_py` does, but have the task tried again where another loop runs: it does something else.

    The task's many tries are for that alone: an error is tried again here, as often as in other tasks.

    Raises
    ------
    CommandFailedError : another loop runs.
    AirflowFailException : anything else, for the last time.
    """
    first = DEFAULTS["retry_delay"].total_seconds()
    for pause in [first * 2**number for number in range(DEFAULTS["retries"])] + [None]:
        try:
            return run_py(*words)
        except AirflowSkipException as reason:
            raise CommandFailedError(f"not now: {reason}") from None
        except CommandFailedError as error:
            if pause is None:
                raise AirflowFailException(str(error)) from None
            print(f"{error}\nAgain in {pause:.0f} s.", flush=True)
            time.sleep(pause)
    return None


def _run(words: list[str]) -> tuple[int, str]:
    """Run a command; return its exit code and the last line that it said.

    It ends with the task: when that is too long at work, or somebody ends it.
    """
    print("$", " ".join(words), flush=True)
    command = subprocess.Popen(
        words, cwd=PROJECT, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    before = signal.signal(signal.SIGTERM, _interrupt)  # Airflow's own lets a task's children go on
    last = ""
    try:
        assert command.stdout is not None
        for line in command.stdout:
            print(line.rstrip(), flush=True)
            last = line.strip() or last
        return command.wait(), last
    finally:
        _end(command)
        signal.signal(signal.SIGTERM, before)


def _environment() -> dict[str, str]:
    """Return ours without what is Airflow's and its Python's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_AIRFLOW)}
    return kept | {"COLUMNS": "120", "NO_COLOR": "1"}


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _end(command: subprocess.Popen[str]) -> None:
    """End a command that still runs as Ctrl-C does: it takes back what is half done."""
    deadline = time.monotonic() + _END_SECONDS
    for number in (signal.SIGTERM, signal.SIGKILL):
        if command.poll() is not None:
            return
        os.killpg(command.pid, number)
        try:
            command.wait(max(1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            continue


def choices(announced: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Return what the run is asked for, a `year` each: by the form, or by each announcement; the latest last.

    What an announcement leaves out is the form's default.
    """
    form = dict(get_current_context()["params"])
    asked = [{**form, **(event.extra or {})} for event in announced] or [form]
    each = [{**choice, "year": year} for choice in asked for year in years_of(choice)]
    once = {(choice["year"], choice["stack"], choice["stage"]): choice for choice in each}
    return [once[key] for key in sorted(once)]


def years_of(choice: Mapping[str, Any]) -> list[int]:
    """Return the years that were asked for, as `run.py` reads them, else the one before the run's date."""
    context = get_current_context()
    date = context.get("logical_date") or context["dag_run"].run_after
    text = str(choice.get("years") or choice.get("year") or date.year - 1)  # `year`: of older announcements
    parts = [re.fullmatch(r"(\d{4})(?:-(\d{4}))?", part) for part in text.replace(" ", "").split(",")]
    ranges = [range(int(part[1]), int(part[2] or part[1]) + 1) if part else () for part in parts]
    if not all(ranges):
        raise AirflowFailException(f"{text!r} are no years: 2023, 2021,2023 or 2021-2023.")
    return sorted({year for years in ranges for year in years})


def options(choice: Mapping[str, Any]) -> list[str]:
    """Return the words of a command for what was asked for: stack and stage."""
    return ["--stack", choice["stack"], "--stage", choice["stage"]]


def only(stage: str, choice: Mapping[str, Any]) -> list[str]:
    """Return the words of the command that does one stage of the loop of the model that was chosen."""
    return ["--pipeline", "monitor", "--only", stage, "--reason", "airflow", *options(choice)]


def decision(run: Callable[..., None], words: Sequence[str], choice: Mapping[str, Any]) -> dict[str, Any]:
    """Have `run` look, with these words; return what that decided, and why, and of which model.

    Its report comes in a file of this task's own: reports/monitor is that of whoever looked last.
    """
    with TemporaryDirectory() as folder:
        report = Path(folder) / "monitor.json"
        run(*words, "--report", str(report))
        decided = json.loads(report.read_text(encoding="utf-8"))["decision"]
    return {name: decided[name] for name in ("action", "reasons")} | {name: choice[name] for name in _MODEL}


def decision_before(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `decision` of the look, a DAG's first task, to one that follows it; nothing without one."""
    (first,) = context["dag"].roots
    if first.task_id == context["ti"].task_id:
        return {}
    return context["ti"].xcom_pull(task_ids=first.task_id) or {}


def follow(look: Any) -> None:
    """Put behind a look, which returns its `decision`, what follows from it. What is not due is skipped.

    What is due says the loop's own table (accidents/monitoring/loop_table.py): these tasks only ask for it.
    """

    def due(stage: str) -> None:
        run_py(*only(stage, decision_before(get_current_context())))

    @task(execution_timeout=timedelta(hours=6))
    def train() -> None:
        """Train on the newer years too, or fit the calibration again."""
        due("train")

    @task(execution_timeout=timedelta(minutes=10))
    def promote() -> None:
        """Go on if the gates and the champion let the new version pass."""
        due("promote")

    @task(execution_timeout=WATCHED)
    def deploy() -> None:
        """Serve it, by canary where params.yaml says so."""
        due("deploy")

    @task(execution_timeout=WATCHED)
    def verify() -> None:
        """Watch its first hour, or whatever params.yaml says."""
        due("verify")

    @task(execution_timeout=timedelta(minutes=30), trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def roll_back() -> None:
        """Take it back if it went wrong; then the run is red, for a person should know."""
        due("rollback")
        raise AirflowFailException("The new version was taken back: docs/alerts.md#versiontakenback.")

    trained, promoted, deployed, verified, taken_back = train(), promote(), deploy(), verify(), roll_back()
    look >> trained >> promoted >> deployed >> verified >> taken_back
    deployed >> taken_back  # a version that could not be deployed is not verified


def form(**more: Param) -> dict[str, Param]:
    """Return what a person may choose who starts a run."""
    stacks = sorted(path.stem for path in (PROJECT / "stacks").glob("*.yaml"))
    stack = os.environ.get(STACK) or "local"
    return {
        "stack": Param(stack, enum=stacks, description="A file in stacks/."),
        "stage": Param("dispatch", enum=["dispatch", "on_scene"], description="What is known when asked."),
        **more,
    }


def alert(context: Mapping[str, Any]) -> None:
    """Tell Alertmanager that a task has failed for good."""
    error = str(context.get("exception") or "no reason is known")
    if failure := _tell(context, error, datetime.now(UTC) + _ALERT_STANDS):
        print(failure, flush=True)


def alert_of_run(context: Mapping[str, Any]) -> None:
    """Tell Alertmanager of a run that took too long: Airflow skips its tasks then, so none of them tells."""
    if context.get("reason") != "task_failure":
        alert({**context, "exception": f"the run did not come to its end: {context.get('reason')}"})


def resolve(context: Mapping[str, Any]) -> None:
    """Tell Alertmanager that it goes well again."""
    _tell(context, "it went well", datetime.now(UTC))


def _tell(context: Mapping[str, Any], words: str, ends: datetime) -> str | None:
    """Send an alert, with labels and lines as in observability/rules; return why it was not told."""
    task_instance = context["ti"]
    firing = {
        "labels": {
            "alertname": "AirflowTaskFailed",
            "severity": "warning",
            "dag": task_instance.dag_id,
            "task": task_instance.task_id,
            **_model(context),
        },
        "annotations": {
            "summary": f"{task_instance.task_id} of {task_instance.dag_id} failed in Airflow.",
            "description": f"{task_instance.run_id}, try {task_instance.try_number}: {words[:500]}",
            "runbook": "docs/alerts.md#airflowtaskfailed",
        },
        "generatorURL": getattr(task_instance, "log_url", None) or "http://127.0.0.1:8080",
        "endsAt": ends.isoformat(),
    }
    address = os.environ.get(ALERTMANAGER) or "http://127.0.0.1:9093"
    request = urllib.request.Request(
        f"{address.rstrip('/')}/api/v2/alerts",
        json.dumps([firing]).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()
    except (OSError, HTTPException) as error:
        return f"Alertmanager at {address} ({ALERTMANAGER}) was not told: {error}"
    return None


def _model(context: Mapping[str, Any]) -> dict[str, str]:
    """Return which model it is about: no other's success ends the alert.

    It is the one that was looked at last; before that is known, the form's or the announced one.
    """
    *_, last = [None, *context["dag_run"].consumed_asset_events]
    asked = {**context["params"], **((last.extra if last else None) or {}), **_known_decision(context)}
    return {name: str(asked[name]) for name in _MODEL if asked.get(name)}


def _known_decision(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return `decision_before`; nothing where Airflow cannot be asked, for an alert goes out all the same."""
    try:
        return decision_before(context)
    except Exception as error:
        print(f"Which model was looked at is not known: {error}", flush=True)
        return {}


DEFAULTS: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=float(os.environ.get(RETRY_SECONDS) or 120)),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(hours=1),
    "on_failure_callback": alert,
    "on_success_callback": resolve,
    "owner": "road-accidents",
}
