"""Real model servers for tests: tiny bundles, a project whose code may be changed, a server that is ended."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from accidents.bundle import Bundle, write_bundle
from accidents.bundle.golden import Golden
from accidents.features import feature_names
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings
from stacks.components.mlserver.client import ModelServerClient
from stacks.components.mlserver.config import MLServerDeployerConfig
from stacks.components.mlserver.server import ModelServer
from stacks.components.mlserver.server_process import Daemon
from stacks.locked_environments import SHARED
from tests.accidents.frames import feature_frame
from tests.compiled import compile_once
from tests.conftest import ROOT
from tests.processes import kill_all_of

NAME = "accident-severity-dispatch"
LOCK = ROOT / "requirements" / "serve.txt"


@dataclass(frozen=True)
class Version:
    """A tiny bundle with what a deployer needs of it, and rows to ask it for."""

    bundle: Bundle
    golden: Path
    rows: pd.DataFrame

    @property
    def matrix(self) -> np.ndarray:
        """The rows as the bundle takes them, float32."""
        return self.rows[self.bundle.features].to_numpy(np.float32)


def make_version(folder: Path, seed: int) -> Version:
    """Train a few trees; other seeds give other probabilities."""
    frame = feature_frame(2_000, seed)
    model = train(
        frame[:1_500], frame[1_500:], ModelSettings(bags=2, n_estimators=20, n_jobs=1), "dispatch", seed
    )
    facts = {"name": NAME, "stage": "dispatch", "threshold": 0.5, "budget": 0.2, "synthetic": True}
    rows = frame[1_500:]
    matrix = rows[list(feature_names("dispatch"))].to_numpy(np.float32)
    reference = rows.assign(p_severe=model.predict_matrix(matrix))
    bundle = write_bundle(folder / "bundle", model, facts, reference, "# Card")
    golden = folder / "golden.json"
    features = rows[bundle.features].head(20)
    Golden(features, bundle.predict(features.to_numpy(np.float32))).write(golden)
    return Version(bundle, golden, rows)


def broken(version: Version, folder: Path) -> Version:
    """The same with one byte of its trees changed."""
    shutil.copytree(version.bundle.folder, folder)
    trees = folder / "model" / "trees.txt"
    trees.write_text(
        trees.read_text(encoding="utf-8").replace("leaf_value=0", "leaf_value=1", 1), encoding="utf-8"
    )
    return Version(
        Bundle(folder, version.bundle.model, version.bundle.facts, "none"), version.golden, version.rows
    )


def forge(folder: Path) -> None:
    """Give a bundle another threshold, and a manifest that agrees: only the registry's digest tells."""
    facts = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(facts | {"threshold": 0.01}))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["bundle.json"] = hashlib.sha256((folder / "bundle.json").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def forge_in_place(server: ModelServer, version: Version) -> None:
    """Change what a server keeps of a version: what it has loaded is as it was, a next load fails."""
    forge(server.folder.root / "bundles" / version.bundle.digest)


def copy_code(folder: Path) -> Path:
    """A project whose serving code a test may change; returns its root."""
    compile_once()
    ignored = shutil.ignore_patterns("*.pyc*", "*.tmp.*", "web", "api")  # but not what numba has compiled
    for room in ("accidents", "serving"):
        shutil.copytree(ROOT / room, folder / room, ignore=ignored)
    return folder


def share_environments() -> None:
    """Build the server's environment once a machine, not once a test."""
    os.environ.setdefault(SHARED, str(ROOT / ".serving" / "environments"))


def settings(folder: Path, code: Path, **changes: object) -> MLServerDeployerConfig:
    """Settings of a server in this folder, on free ports."""
    share_environments()
    ports = dict.fromkeys(("http_port", "grpc_port", "metrics_port", "supervisor_port"), 0)
    return MLServerDeployerConfig(
        **{"folder": str(folder), "lock": str(LOCK), "code": str(code), **ports, **changes}
    )


def microservice_settings(folder: Path, code: Path = ROOT, **changes: object) -> dict[str, object]:
    """Settings of Seldon's own server in this folder."""
    share_environments()
    lock = str(ROOT / "requirements" / "seldon.txt")
    return {"runtime": "microservice", "folder": str(folder), "lock": lock, "code": str(code), **changes}


@contextmanager
def model_server(folder: Path, code: Path, **changes: object) -> Iterator[ModelServer]:
    """A model server that is ended with the test, however that ends."""
    server = ModelServer(settings(folder, code, **changes))
    try:
        yield server
    finally:
        end(server)


def end(server: ModelServer) -> None:
    """Stop everything a server serves; nothing of it runs on, also if that fails."""
    try:
        for name in server.folder.served():
            server.stop(name)
        assert server.daemon() is None
    finally:
        kill_all_of(server.folder.root)


def daemon_of(server: ModelServer) -> Daemon:
    """The process of a server that is running."""
    daemon = server.daemon()
    assert isinstance(daemon, Daemon)
    return daemon


def client_of(server: ModelServer) -> ModelServerClient:
    """A client of a server that is running."""
    daemon = server.daemon()
    assert daemon is not None
    return ModelServerClient(daemon.http_port, token=server.folder.token)


def deploy(server: ModelServer, number: str, version: Version) -> None:
    """Serve `version` as version `number`."""
    server.deploy(NAME, number, version.bundle.folder, version.golden)


def request(rows: pd.DataFrame) -> dict[str, object]:
    """A V2 request with one tensor."""
    return Golden(rows, np.zeros(0)).request()
