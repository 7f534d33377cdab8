"""How many predictions 1, 2 and 4 processes of the API make, with 1 and 2 model servers on one PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from accidents.errors import AccidentsError
from accidents.files import ROOT
from benchmarks.database_server import DatabaseServer, database_server
from benchmarks.load import Load, load
from benchmarks.options import Options
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.separate_process import clean_environment, measure
from benchmarks.served_project import MODEL
from benchmarks.serving import accidents_of
from stacks.components.mlserver.folder import PROGRAM
from stacks.components.mlserver.server_runner import server_settings
from stacks.locked_environments import environment, environments_folder
from stacks.mlserver_layout import IMPLEMENTATION

TITLE = "Many predictions: processes of the API, model servers, one PostgreSQL"
PROCESSES, MODEL_SERVERS = (1, 2, 4), (1, 2)
CLIENTS = 16  # for each process of the API
LEAST = 0.85  # of what one process makes with a second of a core
_START_SECONDS = 90
_LOG = {"class": "logging.StreamHandler"}


@dataclass(frozen=True)
class Measured:
    """What one arrangement did; `seconds`: of the processor, by part."""

    processes: int
    model_servers: int
    load: Load
    seconds: dict[str, float]
    rows: float  # predictions in a commit
    commit_ms: float

    def microseconds(self, *parts: str) -> float:
        """Of the processor, for a prediction."""
        return sum(self.seconds[part] for part in parts) / max(self.load.requests - self.load.failed, 1) * 1e6

    @property
    def per_core(self) -> float:
        """Predictions for each second of a core that API and store took."""
        return 1e6 / self.microseconds("API", "PostgreSQL")


def run(options: Options) -> Outcome:
    """Each arrangement in turn, on the same cores and the same database."""
    seconds, arrangements = (3, [(1, 1), (2, 2)]) if options.quick else (
        15, [(processes, servers) for servers in MODEL_SERVERS for processes in PROCESSES]
    )  # fmt: skip
    cores = sorted(os.sched_getaffinity(0))[:2]
    with tempfile.TemporaryDirectory(prefix="many-") as name, database_server(cores) as server:
        folder = Path(name)
        measure("benchmarks.monitor_scale:fill", folder=name, predictions=1_000)
        bodies = accidents_of(folder / "bundle")
        measured = [
            _measured(folder / f"{processes}-{servers}", bodies, server, cores, processes, servers, seconds)
            for processes, servers in arrangements
        ]
    return _outcome(measured, cores, seconds)


def _measured(
    folder: Path,
    bodies: Sequence[Any],
    server: DatabaseServer,
    cores: Sequence[int],
    processes: int,
    model_servers: int,
    seconds: int,
) -> Measured:
    folder.mkdir()
    with ExitStack() as stack:
        models = [
            stack.enter_context(_model_server(folder / f"model-{number}", folder.parent / "bundle", cores))
            for number in range(model_servers)
        ]
        api, url = stack.enter_context(
            _api(folder, server.address, [at for _, at in models], processes, cores)
        )
        asked, clients = f"{url}/predict?reasons=false", CLIENTS * processes
        load(asked, bodies, clients, 2 if seconds < 5 else 5)  # warm
        parts = {"API": [api.pid], "PostgreSQL": [server.process]}
        parts["model server"] = [process.pid for process, _ in models]
        before, earlier = {part: _seconds(pids) for part, pids in parts.items()}, _metrics(url)
        seen = load(asked, bodies, clients, seconds)
        spent = {part: _seconds(pids) - before[part] for part, pids in parts.items()}
        after = _metrics(url)
    commits = after["rows_count"] - earlier["rows_count"]
    logged = after["rows_sum"] - earlier["rows_sum"]
    milliseconds = (after["seconds_sum"] - earlier["seconds_sum"]) / commits * 1e3
    return Measured(processes, model_servers, seen, spent, logged / commits, milliseconds)


@contextmanager
def _model_server(
    folder: Path, bundle: Path, cores: Sequence[int]
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    ports = {name: _free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    model = folder / MODEL
    shutil.copytree(bundle, model / "bundle")
    settings = {
        "name": MODEL,
        "implementation": IMPLEMENTATION,
        "parameters": {"uri": "bundle", "extra": {"version": "1"}},
    }
    (model / "model-settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "settings.json").write_text(
        json.dumps(server_settings(ports, "127.0.0.1", _LOG, load_at_start=True)), encoding="utf-8"
    )
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    url = f"http://127.0.0.1:{ports['http_port']}"
    words = [str(_python("serve")), "-m", PROGRAM, str(folder)]
    with _running(words, variables, folder, cores, f"{url}/v2/models/{MODEL}/ready") as process:
        yield process, url


@contextmanager
def _api(
    folder: Path, database: str, models: Sequence[str], processes: int, cores: Sequence[int]
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    settings = {
        "port": str(_free_port()), "processes": str(processes), "model_server": ",".join(models),
        "model_name": MODEL, "database_url": database, "keys_in": "database", "limits_in": "database",
        "accidents_per_minute": "10000000", "metrics": "open", "model_timeout": "10",
    }  # fmt: skip
    variables = {f"ACCIDENTS_{name.upper()}": value for name, value in settings.items()}
    url = f"http://127.0.0.1:{settings['port']}"
    words = [str(_python("api")), "-m", "serving.api"]
    with _running(words, variables, folder, cores, f"{url}/health/ready") as process:
        yield process, url


@contextmanager
def _running(
    words: Sequence[str], variables: dict[str, str], folder: Path, cores: Sequence[int], ready: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Start something on these cores, and wait until it is ready; it is ended afterwards."""
    with (folder / "output.log").open("wb") as log:
        pinned = ["taskset", "-c", ",".join(map(str, cores)), *words]
        environment = clean_environment() | variables
        process = subprocess.Popen(pinned, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        _wait(ready, process, folder / "output.log")
        yield process
    finally:
        process.terminate()
        process.wait(timeout=40)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AccidentsError(f"{url} is not there: {log.read_text(encoding='utf-8', errors='replace')[-1500:]}")


def _python(role: str) -> Path:
    environments = environments_folder(ROOT / ".serving" / "environments")
    return environment(ROOT / "requirements" / f"{role}.txt", environments)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _seconds(pids: Sequence[int]) -> float:
    """Return what processes and their children have had of the processor."""
    total = 0.0
    for pid in pids:
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            spent = process.cpu_times()
            total += spent.user + spent.system
    return total


def _metrics(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    counts = re.findall(r"^accidents_log_commit_(\w+_(?:sum|count)) (\S+)$", text, re.M)
    return {name: float(value) for name, value in counts}


def _outcome(measured: Sequence[Measured], cores: Sequence[int], seconds: int) -> Outcome:
    alone = {each.model_servers: each.per_core for each in measured if each.processes == 1}
    failed = sum(each.load.failed for each in measured)
    figures = [Figure(what="Failed requests", target="0", figure=str(failed), met=failed == 0)]
    for each in measured:
        if each.processes > 1 and each.model_servers in alone:
            ratio = each.per_core / alone[each.model_servers]
            servers = "a model server" if each.model_servers == 1 else f"{each.model_servers} model servers"
            figures.append(
                Figure(
                    what="Predictions for a second of a core (API and store), "
                    f"{each.processes} processes and {servers}",
                    target=f"at least {LEAST:g} of one process's",
                    figure=f"{ratio:.2f}",
                    met=ratio >= LEAST,
                )
            )
    head = (
        "API processes, model servers",
        "predictions/s",
        "p50; p99 ms",
        "for a core-second of API and store",
        "µs of the processor for one: API; PostgreSQL; model server",
        "rows in a commit; its ms",
    )
    rows = [
        (
            f"{each.processes}, {each.model_servers}",
            f"{each.load.per_second:,.0f}",
            f"{each.load.p50_ms:.1f}; {each.load.p99_ms:.1f}",
            f"{each.per_core:,.0f}",
            "; ".join(f"{each.microseconds(part):.0f}" for part in ("API", "PostgreSQL", "model server")),
            f"{each.rows:.1f}; {each.commit_ms:.1f}",
        )
        for each in measured
    ]
    about = (
        f"Callers, API, model servers and PostgreSQL share {len(cores)} cores: predictions/s say how full "
        "these are, predictions for a core-second what scales. "
        f"{CLIENTS} connections a process of the API, {seconds} s each, no reasons; keys and rates in the "
        "database, every prediction on the disk before its answer."
    )
    return Outcome(about=about, figures=tuple(figures), body=table(head, rows))
