"""What a deployment with ZenML's mlflow deployer leaves when it is broken off as the server starts."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest
from zenml.model_deployers import BaseModelDeployer

from accidents.bundle.golden import Golden
from stacks.endpoints import mlflow
from stacks.endpoints.component import Component
from stacks.endpoints.mlflow import MLflowEndpoint
from stacks.endpoints.protocol import BundleReference


@dataclass(frozen=True)
class Config:
    pipeline_step_name: str


@dataclass
class Interrupted:
    """A deployer that is ended as ZenML waits for the server, which its store does not know yet."""

    local_path: str
    started: subprocess.Popen[bytes] | None = None

    def find_model_server(self, **_: object) -> list[object]:
        return []

    def deploy_model(self, config: Config, *_: object, **__: object) -> object:
        self.started = serving(Path(self.local_path) / "new", config.pipeline_step_name)
        raise KeyboardInterrupt


def serving(folder: Path, step: str) -> subprocess.Popen[bytes]:
    """A process started as ZenML starts the daemon of a service."""
    folder.mkdir()
    file = folder / "service.json"
    file.write_text(json.dumps({"config": {"pipeline_step_name": step}}), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)", "--config-file", str(file)]
    )


def test_a_server_that_was_being_started_ends_with_the_deployment_and_no_other_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = serving(tmp_path / "other", "deploy-other")
    deployer = Interrupted(str(tmp_path))
    monkeypatch.setattr(mlflow, "_config", lambda _: Config("deploy-ours"))
    golden = Golden(pd.DataFrame(), np.zeros(0))
    component = Component("mlflow", {}, lambda: cast(BaseModelDeployer, deployer))
    try:
        with pytest.raises(KeyboardInterrupt):
            MLflowEndpoint("severity", component).deploy(BundleReference("severity", "2", "d", "uri"), golden)
        assert deployer.started is not None
        assert deployer.started.poll() is not None
        assert other.poll() is None
        assert [folder.name for folder in tmp_path.iterdir()] == ["other"]
    finally:
        for process in (other, deployer.started):
            if process is not None:
                process.kill()
                process.wait()
