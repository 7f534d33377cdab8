"""`make airflow`: Airflow with the project's DAGs on this machine, until Ctrl-C.

Its parts are started one by one: `airflow standalone` starts one more, and lets two of them serve logs on
every address of the machine. These listen on loopback only.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
from collections.abc import Mapping
from pathlib import Path

import psutil

from accidents.errors import AccidentsError
from accidents.files import write_whole
from commands.project import ROOT, NoHttpError, console, open_own
from commands.signals import heed_signals
from stacks.errors import StackError
from stacks.locked_environments import environment, environments_folder
from stacks.processes import end, start

HOME = ROOT / ".airflow"
CONFIG = ROOT / "configs" / "airflow.cfg"
LOCK = ROOT / "requirements" / "airflow.txt"
PARTS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}
# Keys that its parts share: made once, and kept in a file of this user's.
_SECRETS = ("AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET")
PASSWORDS = "simple_auth_manager_passwords.json.generated"
_TICK = 1.0  # seconds between looks at what runs
_READY_WITHIN = 180.0


def airflow_python() -> Path:
    """Return the Python of Airflow's environment, which is made at the first call."""
    return environment(LOCK, environments_folder(ROOT / ".serving" / "environments"))


def airflow_variables(home: Path = HOME) -> dict[str, str]:
    """Return the environment that Airflow's commands run in, with the keys that its parts share."""
    python = airflow_python()
    own = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(CONFIG),
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    usual = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**_kept_secrets(home), **usual, **own}


def run_airflow() -> None:
    """Start its parts, say where it is and how to log in, and end them all with Ctrl-C or when one ends.

    Raises
    ------
    AccidentsError : its port is taken, its database cannot be made, or a part ended: with what it said.
    """
    variables = airflow_variables()
    program = str(airflow_python().parent / "airflow")
    _migrate(program, variables)
    address = _address(program, variables)
    _require_free(address)
    variables = {**_where_it_is(address), **variables}
    heed_signals()
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, words in PARTS.items():
            running[name] = start([program, *words], ROOT, variables, HOME / f"{name}.log")
            _wait_until_ready(address, running)  # the API server is first: a task that does not find it fails
        _say(address)
        while True:
            _require_running(running)
            time.sleep(_TICK)
    except KeyboardInterrupt:
        console.print("Stopped.")
    finally:
        end(*(psutil.Process(process.pid) for process in running.values() if process.poll() is None))


def _kept_secrets(home: Path) -> dict[str, str]:
    (home / "pipelines").mkdir(parents=True, exist_ok=True)  # a folder of DAGs that must be there
    home.chmod(0o700)
    path = home / "secrets.json"
    if not path.exists():
        made = {name: secrets.token_urlsafe(48) for name in _SECRETS}
        write_whole(path, json.dumps(made), mode=0o600)
    kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return kept


def _migrate(program: str, variables: Mapping[str, str]) -> None:
    """Make its database, or bring it up to this version."""
    done = _asked([program, "db", "migrate"], variables)
    if done.returncode:
        raise AccidentsError(f"Airflow's database in {HOME} cannot be made: {done.stderr.strip()[-1000:]}")


def _address(program: str, variables: Mapping[str, str]) -> str:
    """Return where its pages will be: as the file says, or the environment."""
    host, port = (
        _asked([program, "config", "get-value", "api", key], variables).stdout.strip().rpartition("\n")[2]
        for key in ("host", "port")
    )
    return f"http://{host}:{port}"


def _where_it_is(address: str) -> dict[str, str]:
    """Return where its parts and its tasks find the API server, past any proxy; the default is 8080."""
    return {
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def _asked(words: list[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, env=dict(variables), capture_output=True, text=True, check=False)


def _require_free(address: str) -> None:
    if _answers(address):
        raise AccidentsError(
            f"Something listens on {address} already, where Airflow should. Stop it, or take another port: "
            "AIRFLOW__API__PORT=8081 make airflow."
        )


def _answers(address: str) -> bool:
    try:
        open_own(f"{address}/api/v2/version", 5).close()
    except (urllib.error.HTTPError, NoHttpError):
        return True
    except OSError:
        return False
    return True


def _wait_until_ready(address: str, running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while not _answers(address):
        _require_running(running)
        if time.monotonic() > deadline:
            raise AccidentsError(f"Airflow does not answer on {address}. See {HOME}/api-server.log.")
        time.sleep(_TICK)


def _require_running(running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for name, process in running.items():
        if process.poll() is not None:
            words = (HOME / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip()[-1000:]
            raise AccidentsError(f"{name} has ended (exit code {process.returncode}):\n{words}")


def _say(address: str) -> None:
    passwords = json.loads((HOME / PASSWORDS).read_text(encoding="utf-8"))
    logins = ", ".join(f"{name} / {password}" for name, password in passwords.items())
    lines = [
        f"Airflow        {address}",
        f"Log in         {logins}",
        "DAGs           accidents_daily, accidents_yearly, accidents_new_year; paused until switched on",
        "Logs           .airflow/*.log; of tasks .airflow/logs/",
        "All about it: docs/airflow.md. Ctrl-C ends all.",
    ]
    console.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)


def main() -> int:
    """Run it; 1 after an error told plainly."""
    try:
        if sys.argv[1:] == ["--make"]:
            airflow_python()
        else:
            run_airflow()
    except (AccidentsError, StackError) as error:
        console.print(f"Error: {error}", markup=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
