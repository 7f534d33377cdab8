"""What the tests of monitoring and of the loop share: a served champion, and a log of each test's own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from accidents.bundle import Bundle, load_bundle
from accidents.monitoring.measurements import MonitorReport
from accidents.predictions.history import Event, History
from accidents.predictions.prediction_log import PredictionLog
from tests.pipelines.conftest import Project
from tests.pipelines.served import NAME, served_version, server_folder
from tests.processes import processes_of
from tests.warm import Process

DATABASE = "ACCIDENTS_DATABASE_URL"


def with_own_log(project: Project, folder: Path) -> Project:
    """The same project for somebody with an empty log in `folder`, and so without a history."""
    own = Project(project.folder)
    own.environment[DATABASE] = f"sqlite:///{folder / 'predictions.db'}"
    log = PredictionLog(database(own))
    log.create()
    log.close()
    return own


def serve(project: Project, version: str) -> None:
    """Have a version be champion and serve, unless it serves."""
    if served_version(project) is None:
        project("--pipeline", "deploy")
    if served_version(project) != version:
        project("promote", version)


def database(project: Project) -> str:
    return project.environment[DATABASE]


def events(project: Project) -> list[Event]:
    history = History(database(project))
    try:
        return history.events(NAME, 100)
    finally:
        history.close()


def stages(project: Project, since: int = 0) -> list[tuple[str, str]]:
    return [(event.stage, event.outcome) for event in events(project)[since:]]


def report(project: Project) -> MonitorReport:
    path = project.folder / "reports" / "monitor" / "monitor.json"
    return MonitorReport.model_validate_json(path.read_text(encoding="utf-8"))


def other_params(project: Project, **changes: str) -> list[str]:
    """Words of a command for params.yaml with some values changed: `minutes="5"`."""
    text = (project.folder / "params.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    for name, value in changes.items():
        (number,) = (at for at, line in enumerate(lines) if line.lstrip().startswith(f"{name}:"))
        lines[number] = f"{lines[number].partition(':')[0]}: {value}"
    path = project.folder / "other.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["--params", path.name]


def served_bundle(project: Project) -> Bundle:
    """That which the model server has of the champion."""
    folder = server_folder(project)
    return load_bundle(folder.root / "bundles" / folder.served()[NAME].digest)


def model_server(project: Project) -> psutil.Process:
    """The model server's process."""
    root = server_folder(project).root
    running = [
        process for process in processes_of(root) if "serving.runtime.guarded_mlserver" in process.cmdline()
    ]
    assert running, "no model server of this project runs"
    return running[0]


def wait_for(project: Project, stage: str, outcome: str, process: Process, after: int = 0) -> None:
    """Until an event is written down after the first so many."""
    for _ in range(6_000):
        if (stage, outcome) in stages(project, after):
            return
        _require_running(process, f"{stage} {outcome}")
        time.sleep(0.1)
    pytest.fail(f"{stage} {outcome} never came: {stages(project)}")


def wait_for_share(project: Project, share: int, process: Process) -> None:
    """Until a challenger answers this share, in percent."""
    for _ in range(6_000):
        if [trial.share for trial in server_folder(project).trials(NAME)] == [share]:
            return
        _require_running(process, f"a share of {share} %")
        time.sleep(0.1)
    pytest.fail(f"a share of {share} % never came: {stages(project)}")


def _require_running(process: Process, awaited: str) -> None:
    if process.poll() is not None:
        pytest.fail(f"ended before {awaited}:\n{process.stdout.read()}")


def kill(process: Process) -> None:
    """End a command as a power cut does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
