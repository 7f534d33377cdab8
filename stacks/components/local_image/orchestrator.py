"""ZenML's `local_docker` orchestrator on an image that is there, with our code in it: see docs/stacks.md.

A pipeline that steers what serves on this machine (`extra: {here: true}`) runs on the machine itself, as with
ZenML's local orchestrator: in a container it would need the container engine, and so the whole machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from zenml.orchestrators import LocalOrchestrator, SubmissionResult
from zenml.orchestrators.local_docker.local_docker_orchestrator import (
    LocalDockerOrchestrator,
    LocalDockerOrchestratorSettings,
)

from stacks.components.local_image.flavor import LocalImageConfig
from stacks.container_engine import container_engine, find_image
from stacks.environment import READ_AT_IMPORT, project_root, store_folder
from stacks.placeholders import of_here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zenml.config.build_configuration import BuildConfiguration
    from zenml.models import PipelineRunResponse, PipelineSnapshotBase, PipelineSnapshotResponse
    from zenml.stack import Stack, StackValidator

HERE = "here"  # in a pipeline's `extra`: it runs on this machine
_CODE, _STATE = "/app", "/state"  # of the image: Dockerfile
# What the image's code writes, which is not there in a folder of this machine that is mounted at /state.
_WRITTEN = ("data", "dvc/cache", "dvc/tmp", "reports", "serving", "zenml")
# Addresses that steps find in their environment.
_HANDED_ON = ("ACCIDENTS_DATABASE_URL", "ACCIDENTS_LOG_LEVEL")
_REMOTE = "ACCIDENTS_DVC_REMOTE"
_RUN = "accidents.run"  # label of the containers of a run


class LocalImageOrchestrator(LocalDockerOrchestrator):
    """Runs each step in a container that is locked down, as who started the run."""

    _run: str = ""
    _orchestrator_run_id: str | None = None

    @property
    def config(self) -> LocalImageConfig:  # type: ignore[override]
        """Settings of the component."""
        return cast(LocalImageConfig, self._config)

    @property
    def validator(self) -> StackValidator | None:
        """Nothing is built, so no image builder is needed."""
        return None

    @property
    def image(self) -> str:
        """The image of this machine's version of the project."""
        return of_here(self.config.image)

    @property
    def data_remote(self) -> str:
        """The address of the DVC remote by which raw files reach the steps."""
        return os.environ.get(_REMOTE) or of_here(self.config.data_remote)

    def image_facts(self) -> tuple[str, Mapping[str, str]]:
        """Return the image's digest and labels. Raises StackError if it, or the engine, is not there."""
        with container_engine() as engine:
            found = find_image(engine, self.image)
            return str(found.id), dict(found.labels)

    def get_docker_builds(self, snapshot: PipelineSnapshotBase) -> list[BuildConfiguration]:
        """None: without a build ZenML neither installs anything nor uploads code."""
        return []

    def get_image(  # type: ignore[override]
        self, snapshot: PipelineSnapshotResponse, step_name: str | None = None
    ) -> str:
        """Return the same for each step."""
        return self.image

    def get_settings(self, container: object) -> LocalDockerOrchestratorSettings:
        """How ZenML runs a step's container."""
        return LocalDockerOrchestratorSettings(
            run_args={
                "network_mode": self.config.network,
                "mem_limit": self.config.memory,
                "memswap_limit": self.config.memory,
                "read_only": True,
                "tmpfs": {"/tmp": ""},
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges:true"],
                "remove": True,
                "labels": {_RUN: self._run},
                "environment": self._environment(),
                "volumes": {str(here): {"bind": there, "mode": "rw"} for here, there in _folders().items()},
            }
        )

    def get_orchestrator_run_id(self) -> str:
        """Of the run that goes on here, else of the one that this container is of."""
        return self._orchestrator_run_id or super().get_orchestrator_run_id()

    def submit_pipeline(
        self,
        snapshot: PipelineSnapshotResponse,
        stack: Stack,
        base_environment: dict[str, str],
        step_environments: dict[str, dict[str, str]],
        placeholder_run: PipelineRunResponse | None = None,
    ) -> SubmissionResult | None:
        """Run the steps, one after another, each in its container or all of them here."""
        arguments = (snapshot, stack, base_environment, step_environments, placeholder_run)
        if snapshot.pipeline_configuration.extra.get(HERE):
            return LocalOrchestrator.submit_pipeline(cast(LocalOrchestrator, self), *arguments)
        self.image_facts()  # what is missing is told before a run is begun
        self._run = str(uuid4())
        with self._none_left():
            return super().submit_pipeline(*arguments)

    def _environment(self) -> dict[str, str]:
        handed_on = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        places = {
            "ZENML_CONFIG_PATH": str(store_folder()),
            "ZENML_CUSTOM_SOURCE_ROOT": _CODE,
            "ZENML_REPOSITORY_PATH": _CODE,
            _REMOTE: self.data_remote,
        }
        return {**READ_AT_IMPORT, **handed_on, **places}

    @contextmanager
    def _none_left(self) -> Iterator[None]:
        """End the container of a run that is broken off."""
        try:
            yield
        except BaseException:
            with container_engine() as engine:
                for container in engine.containers.list(filters={"label": f"{_RUN}={self._run}"}):
                    container.remove(force=True)
            raise


def _folders() -> dict[Path, str]:
    """Folders of this machine, made here, by where a step sees them: the store, and what its code writes."""
    store = store_folder()
    scratch, serving = store / "steps", project_root() / ".serving"
    for folder in (serving, *(scratch / name for name in _WRITTEN)):
        folder.mkdir(parents=True, exist_ok=True)
    return {store: str(store), scratch: _STATE, serving: f"{_STATE}/serving"}
