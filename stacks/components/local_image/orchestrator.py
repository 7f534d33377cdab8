"""ZenML's `local_docker` orchestrator on an image that is there, with our code in it: see docs/stacks.md.

A pipeline that steers what serves on this machine (`extra: {here: true}`) runs on the machine itself, as with
ZenML's local orchestrator: in a container it would need the container engine, and so the whole machine.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from docker.errors import ContainerError, DockerException
from zenml.client import Client
from zenml.enums import ExecutionStatus
from zenml.orchestrators import LocalOrchestrator, SubmissionResult
from zenml.orchestrators.local_docker.local_docker_orchestrator import (
    LocalDockerOrchestrator,
    LocalDockerOrchestratorSettings,
)
from zenml.orchestrators.publish_utils import publish_step_run_status_update
from zenml.utils.exception_utils import collect_exception_information

from stacks.components.handed_on import handed_on
from stacks.components.image_layout import CODE, STATE, WRITTEN
from stacks.components.local_image.config import LocalImageConfig
from stacks.components.local_image.containers import (
    labels_of,
    remove_containers,
    remove_left_behind,
    why_killed,
)
from stacks.components.local_image.step_environment import hand_over
from stacks.components.orchestrator_base import DATA_REMOTE, OwnImage
from stacks.environment import READ_AT_IMPORT, project_root, store_folder
from stacks.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zenml.config.build_configuration import BuildConfiguration
    from zenml.config.step_configurations import Step
    from zenml.models import PipelineRunResponse, PipelineSnapshotBase, PipelineSnapshotResponse
    from zenml.stack import Stack

HERE = "here"  # in a pipeline's `extra`: it runs on this machine


class LocalImageOrchestrator(OwnImage, LocalDockerOrchestrator):
    """Runs each step in a container that is locked down, as who started the run."""

    _run: str = ""
    _step_environments: Mapping[str, Mapping[str, str]] = {}
    _orchestrator_run_id: str | None = None

    @property
    def config(self) -> LocalImageConfig:  # type: ignore[override]
        """Settings of the component."""
        return cast(LocalImageConfig, self._config)

    def get_docker_builds(self, snapshot: PipelineSnapshotBase) -> list[BuildConfiguration]:
        """None: without a build ZenML neither installs anything nor uploads code."""
        return []

    def get_image(  # type: ignore[override]
        self, snapshot: PipelineSnapshotResponse, step_name: str | None = None
    ) -> str:
        """Return the same for each step."""
        return self.image

    def get_settings(self, container: Step) -> LocalDockerOrchestratorSettings:  # type: ignore[override]
        """How ZenML runs a step's container: it asks as the step begins, which a person is told."""
        step = container.spec.invocation_id
        folders = _folders(self._run)
        environment = {**self._environment(), **self._step_environments.get(step, {})}
        print(f"  {step.replace('_', ' ')} ...", file=sys.stderr, flush=True)
        return LocalDockerOrchestratorSettings(
            run_args={
                "user": f"{os.getuid()}:{os.getgid()}",  # whose files it reads and writes
                "network_mode": self.config.network,
                "mem_limit": self.config.memory,
                "memswap_limit": self.config.memory,
                "read_only": True,
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges:true"],
                "labels": labels_of(str(project_root()), self._run, step),
                "environment": hand_over(environment, _temporary(self._run)),
                "volumes": {str(here): {"bind": there, "mode": "rw"} for here, there in folders.items()},
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
        for step in remove_left_behind(str(project_root())):
            print(f"Step {step} of a run that was killed went on in its container: ended.", file=sys.stderr)
        self._run, self._step_environments = str(uuid4()), step_environments
        untold: dict[str, dict[str, str]] = {step: {} for step in step_environments}
        with self._watched(placeholder_run):
            return super().submit_pipeline(snapshot, stack, {}, untold, placeholder_run)

    def _environment(self) -> dict[str, str]:
        places = {
            "ZENML_CONFIG_PATH": str(store_folder()),
            "ZENML_CUSTOM_SOURCE_ROOT": CODE,
            "ZENML_REPOSITORY_PATH": CODE,
            DATA_REMOTE: self.data_remote,
        }
        return {**READ_AT_IMPORT, **handed_on(), **places}

    @contextmanager
    def _watched(self, run: PipelineRunResponse | None) -> Iterator[None]:
        """Leave no container, however the run ends, and no step that seems to run; tell what killed one."""
        try:
            yield
        except BaseException as error:
            reason = self._in_words(error)
            if run is not None:
                _fail_unfinished(run, reason)
            if reason is error:
                raise
            raise reason from error
        finally:
            with suppress(StackError):  # an engine that is gone has no containers
                remove_containers(self._run)
            shutil.rmtree(_temporary(self._run), ignore_errors=True)

    def _in_words(self, error: BaseException) -> BaseException:
        """In a sentence, if it is the engine's, or the end of a step that left no word."""
        try:
            killed = why_killed(remove_containers(self._run), self.config.memory)
        except StackError as silent:
            return silent if isinstance(error, Exception) else error
        if killed and isinstance(error, Exception):
            return StackError(killed)
        if isinstance(error, ContainerError):
            return StackError(f"A step failed; its container said last:\n{_last_line(error)}")
        if isinstance(error, DockerException):
            return StackError(f"The container engine refuses: {getattr(error, 'explanation', None) or error}")
        return error


def _last_line(error: ContainerError) -> str:
    output = error.stderr or b""
    return (output.decode(errors="replace").strip() or "nothing").splitlines()[-1]


def _fail_unfinished(run: PipelineRunResponse, why: BaseException) -> None:
    """Tell ZenML's store of steps that could not do so any more."""
    for step in Client().get_pipeline_run(run.id).steps.values():
        if not step.status.is_finished:
            information = collect_exception_information(why)
            publish_step_run_status_update(step.id, ExecutionStatus.FAILED, exception_info=information)


def _temporary(run: str) -> Path:
    """Return a run's /tmp: on the disk, for in memory it would count as the step's."""
    return store_folder() / "steps" / "tmp" / run


def _folders(run: str) -> dict[Path, str]:
    """Folders of this machine, made here, by where a step sees them: the store, and what its code writes."""
    store = store_folder()
    scratch, serving, temporary = store / "steps", project_root() / ".serving", _temporary(run)
    for folder in (serving, temporary, *(scratch / name for name in WRITTEN)):
        folder.mkdir(parents=True, exist_ok=True)
    return {store: str(store), scratch: STATE, serving: f"{STATE}/serving", temporary: "/tmp"}
