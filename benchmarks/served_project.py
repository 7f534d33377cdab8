"""A trained and deployed copy of the project, its API, an empty relay in its place, other model servers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accidents.errors import AccidentsError
from accidents.files import ROOT
from benchmarks.project_copy import copy_project
from benchmarks.separate_process import clean_environment

SMALL = {
    "accidents_per_year: 20000": "accidents_per_year: 3000",
    "n_bootstrap: 500": "n_bootstrap: 100",
    "model: {}": "model: {n_estimators: 60}",
}
MODEL = "accident-severity-dispatch"
START_SECONDS = 90


@dataclass(frozen=True)
class Served:
    """Addresses of what runs, and where the copy and its champion's bundle are."""

    folder: Path
    bundle: Path
    model_server: str
    mlflow: str
    bentoml: str
    relay: str
    api: str
    key: str


@contextmanager
def served(quick: bool, bentoml: bool = False) -> Iterator[Served]:
    """Train with the settings of params.yaml (less when `quick`), deploy, start everything; stop it again.

    Parameters
    ----------
    bentoml : serve it with BentoML, too, at the address `bentoml`.
    """
    with tempfile.TemporaryDirectory(prefix="served-") as place:
        folder = copy_project(Path(place) / "project", SMALL if quick else None)
        _any_ports(folder / "stacks" / "local.yaml")
        project = Project(folder)
        project.run("--pipeline", "train")
        project.run("promote", "1")  # whatever the gates say of it
        project.run("--pipeline", "deploy")
        if bentoml:
            project.run("--pipeline", "deploy", "--stack", "local-bento")
        key = project.run("keys", "new").split("acc_")[1].split()[0]
        others = [project.start_mlflow(), project.start_relay()]
        try:
            project.run("serve", "--detach", "--stack", "local")
            _wait(f"http://127.0.0.1:{project.mlflow_port}/ping")
            yield Served(
                folder=folder,
                bundle=next((folder / ".zenml/artifacts/build_bundle/bundle").glob("*/*/files")),
                model_server=project.model_server(),
                mlflow=f"http://127.0.0.1:{project.mlflow_port}/invocations",
                bentoml=f"http://127.0.0.1:{project.bentoml_port}/v2/models/{MODEL}/infer",
                relay=f"http://127.0.0.1:{project.relay_port}",
                api=f"http://127.0.0.1:{project.api_port}",
                key=f"acc_{key}",
            )
        finally:
            for process in others:
                os.killpg(process.pid, 15)  # `mlflow models serve` leaves children behind otherwise
            for stack in ("local-bento", "local") if bentoml else ("local",):
                project.run("stop", "--stack", stack)


class Project:
    """A copy of the project and its command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api_port, self.mlflow_port, self.bentoml_port, self.relay_port = (_free_port() for _ in range(4))
        self.environment = clean_environment() | {
            "ACCIDENTS_PORT": str(self.api_port),
            "BENTOML_PORT": str(self.bentoml_port),
            "ACCIDENTS_ENVIRONMENTS": str(ROOT / ".serving" / "environments"),
            "COLUMNS": "200",
            # `mlflow models serve` starts uvicorn by name.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, *words: str) -> str:
        """`python run.py WORDS`; what it printed. Raises AccidentsError if it fails."""
        done = subprocess.run(
            [sys.executable, "run.py", *words],
            cwd=self.folder, env=self.environment, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise AccidentsError(f"run.py {' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def model_server(self) -> str:
        """Return the address the deployed model is asked at."""
        state = json.loads((self.folder / ".serving/model-server/server.json").read_text(encoding="utf-8"))
        return f"http://127.0.0.1:{state['http_port']}/v2/models/{MODEL}/infer"

    def start_mlflow(self) -> subprocess.Popen[bytes]:
        """MLflow's own server on the registered model, with its defaults (one worker)."""
        store = self.folder / ".zenml" / "artifacts" / "mlflow.db"
        mlflow = str(Path(sys.executable).parent / "mlflow")
        where = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(self.mlflow_port)]
        words = [mlflow, "models", "serve", "-m", f"models:/{MODEL}/1", *where]
        return self._start(words, self.environment | {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"})

    def start_relay(self) -> subprocess.Popen[bytes]:
        """Start an empty relay to the model server; its file lies beside the prediction log."""
        words = [sys.executable, "-m", "benchmarks.minimal_api", str(self.relay_port)]
        where = [self.model_server().removesuffix("/infer"), str(self.folder / ".serving" / "relay.pages")]
        return self._start([*words, *where], self.environment)

    def _start(self, words: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words, cwd=self.folder, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def _any_ports(stack: Path) -> None:
    text = stack.read_text(encoding="utf-8")
    ports = ("http_port", "grpc_port", "metrics_port", "supervisor_port")
    free = "\n      ".join(['code: "{root}"', *(f"{port}: 0" for port in ports)])
    stack.write_text(text.replace('code: "{root}"', free), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise AccidentsError(f"{url} did not answer within {START_SECONDS} s.")
