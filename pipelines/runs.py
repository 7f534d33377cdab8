"""Runs of pipelines: started, waited for and read through ZenML's store, wherever their steps ran.

An orchestrator may run the steps in this process, or elsewhere and later. What a run left is read from the
store and the artifact store alone, and a step that failed tells its own reason, as if it had failed here.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenml import log_metadata
from zenml.client import Client
from zenml.enums import ExecutionStatus
from zenml.orchestrators import ContainerizedOrchestrator
from zenml.utils.exception_utils import reconstruct_exception
from zenml.utils.run_utils import refresh_run_status

from accidents.data.dataset import DVC_REMOTE
from accidents.errors import AccidentsError, SettingsError
from pipelines.code import code_used, image_orchestrator, require_own_code, runs_here
from pipelines.integrations import import_late
from pipelines.progress import tell

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, StepRunResponse
    from zenml.orchestrators import BaseOrchestrator
    from zenml.pipelines.pipeline_definition import Pipeline

    from pipelines.config import PipelineConfig

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  # seconds between looks at a run that is not over
_CODE = "code"  # in a run's metadata: what `code_used` says


class RunError(AccidentsError):
    """A run did not end well, and no step of it says why."""


@dataclass(frozen=True)
class Run:
    """A run that ended well, as the store has it."""

    name: str
    steps: Mapping[str, StepRunResponse]
    commit: str  # of the code that its steps ran

    @property
    def cached(self) -> int:
        """How many steps were not run, because their results were there."""
        return sum(map(self.is_cached, self.steps))

    def is_cached(self, step: str) -> bool:
        """Whether a step was not run, because its results were there."""
        return self.steps[step].status == ExecutionStatus.CACHED

    def load(self, step: str, output: str) -> Any:
        """Load what a step gave from the artifact store."""
        return self.steps[step].outputs[output][0].load()

    def export(self, outputs: Iterable[tuple[str, str]], place: AbstractContextManager[Path]) -> None:
        """Put the folders that steps gave where `place` says (see `accidents.files`), all of them or none.

        Parameters
        ----------
        outputs : (step, output); a step that the run did not have gave none.
        """
        with place as part:
            for step, output in outputs:
                if step in self.steps:
                    made = self.load(step, output)
                    shutil.copytree(made.path, part, dirs_exist_ok=True)
                    shutil.rmtree(made.path)


def elsewhere() -> bool:
    """Whether the active stack's steps run on other machines or in containers: they see no files of ours."""
    return not Client().active_stack.orchestrator.config.is_local or image_orchestrator() is not None


def data_remote() -> str | None:
    """Return the DVC remote's address by which raw files reach the steps; None: the repository's default."""
    orchestrator = image_orchestrator()
    return orchestrator.data_remote if orchestrator else os.environ.get(DVC_REMOTE)


def last_metadata(pipeline: str, step: str, key: str) -> list[tuple[Any, datetime]]:
    """Return what a step of a pipeline's last good run logged under a key, and when (UTC), if anything."""
    done = Client().list_pipeline_runs(
        pipeline=pipeline, status=ExecutionStatus.COMPLETED, sort_by="desc:created", size=1, hydrate=True
    )
    return [
        (run.steps[step].run_metadata[key], run.created.replace(tzinfo=UTC))
        for run in done.items
        if step in run.steps and key in run.steps[step].run_metadata
    ]


def run(pipeline: Pipeline, config: PipelineConfig, **arguments: Any) -> Run:
    """Run a pipeline on the active stack, to its end.

    Parameters
    ----------
    config : how to run it; it must not be a schedule.
    arguments : the pipeline's own.

    Raises
    ------
    Exception
        What the first step that failed has raised, with its traceback as a note.
    RunError
        If it did not end well and no step says why.
    """
    if config.schedule:
        raise SettingsError(
            f"configs/{pipeline.name}.yaml: `schedule` is for train alone: a command puts to use what the "
            f"other runs leave. For {pipeline.name}, have cron or systemd start the command."
        )
    _require_fit(pipeline, config, arguments)
    import_late()
    code = code_used(runs_here(pipeline))
    name = f"{pipeline.name}-{datetime.now(UTC):%Y_%m_%d-%H_%M_%S_%f}"
    raised = None
    try:
        pipeline.with_options(**config.options(), run_name=name)(**arguments)
    except Exception as error:
        if _find(name) is None:
            raise  # refused before it began
        raised = error
    except BaseException:  # broken off, perhaps before it began
        with suppress(Exception):
            _log_code(name, code)
        raise
    _log_code(name, code)
    return wait(name, raised)


def _log_code(name: str, code: Mapping[str, str]) -> None:
    log_metadata(metadata={_CODE: dict(code)}, run_id_name_or_prefix=name)


def _require_fit(pipeline: Pipeline, config: PipelineConfig, arguments: Mapping[str, Any]) -> None:
    """Raise what is wrong with a run before it begins, now or at a scheduled time."""
    _check_steps(pipeline, config, arguments)
    _check_image(pipeline, config)
    if not runs_here(pipeline):
        require_own_code()
    _require_bucket()


def _require_bucket() -> None:
    """Raise what the artifact store says of a bucket that is not there, or not ours: ZenML would make it."""
    store = Client().active_stack.artifact_store
    scheme, remote, rest = store.path.partition("://")
    bucket = f"{scheme}{remote}{rest.partition('/')[0]}"
    if remote and not store.exists(bucket):
        store.listdir(bucket)  # says why


def schedule(pipeline: Pipeline, config: PipelineConfig, **arguments: Any) -> None:
    """Have the stack's orchestrator run a pipeline when the configuration says.

    Raises SettingsError if the stack's orchestrator cannot, and what `run` raises before a run begins.
    """
    orchestrator = Client().active_stack.orchestrator
    if not orchestrator.config.is_schedulable:
        raise SettingsError(
            f"configs/{pipeline.name}.yaml: an orchestrator of flavor {orchestrator.flavor} keeps no "
            "`schedule`. Take it out, and have cron or systemd start the command."
        )
    _require_fit(pipeline, config, arguments)
    pipeline.with_options(**config.options())(**arguments)


def wait(name: str, raised: Exception | None = None) -> Run:
    """Wait until a run is over; raises what `run` does.

    Parameters
    ----------
    raised : what starting the run has raised here, if anything.
    """
    ended = _ended(name)
    steps = ended.steps  # each look asks the store
    if ended.status.is_successful:
        code: Any = ended.run_metadata[_CODE]
        return Run(name, steps, code["git_commit"])
    failure = _failure(ended, steps.values())
    # It failed in this process: the traceback is here, or the only word, where the store could not be told.
    if raised is not None and (str(raised) == str(failure) or _says_more(raised, failure)):
        raise raised
    raise failure from raised


def _says_more(raised: Exception, failure: BaseException) -> bool:
    """Whether it is a step's own word: ZenML's say less than ours of a run that was stopped or killed."""
    return isinstance(failure, RunError) and not type(raised).__module__.startswith("zenml.")


def _check_steps(pipeline: Pipeline, config: PipelineConfig, arguments: Mapping[str, Any]) -> None:
    """ZenML passes over what is said of a step that is not there."""
    if config.steps:
        described = pipeline.copy()
        described.prepare(**arguments)
        config.check_steps(described.invocations)


def _check_image(pipeline: Pipeline, config: PipelineConfig) -> None:
    """Raise SettingsError where ZenML is told of an image and the stack has none built: it is passed over."""
    if not config.names_image:
        return
    stack, image = Client().active_stack, image_orchestrator()
    if image is None and (_builds_images(stack.orchestrator) or not stack.orchestrator.config.is_local):
        return
    where = (
        f"in {image.image}: its orchestrator's `image` in stacks/{stack.name}.yaml names it" if image
        else "on this machine, in no container"
    )  # fmt: skip
    raise SettingsError(
        f"configs/{pipeline.name}.yaml: `settings.docker` has no effect on stack {stack.name}, whose steps "
        f"run {where}. Take it out."
    )


def _builds_images(orchestrator: BaseOrchestrator) -> bool:
    """Whether ZenML builds what its steps run in, wherever that is; orchestrators of ours have none built."""
    return type(orchestrator).get_docker_builds is ContainerizedOrchestrator.get_docker_builds


def _find(name: str) -> PipelineRunResponse | None:
    runs = Client().list_pipeline_runs(name=name, size=1, hydrate=True).items
    return runs[0] if runs else None


def _ended(name: str) -> PipelineRunResponse:
    """Return the run, once it is over; its steps are told as they begin."""
    pause, shown = FIRST_PAUSE, set[str]()
    while True:
        current = _find(name)
        if current is None:
            raise RunError(f"Run {name} is not in the store any more: somebody has deleted it.")
        if current.status.is_finished:
            return current
        for step in current.steps.keys() - shown:
            tell(step)
            shown.add(step)
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)
        with suppress(Exception):  # not every orchestrator can be asked, nor at any time
            refresh_run_status(current)


def _failure(ended: PipelineRunResponse, steps: Iterable[StepRunResponse]) -> BaseException:
    failed = [step for step in steps if step.status == ExecutionStatus.FAILED]
    if not failed:
        why = ended.exception_info.message if ended.exception_info else ended.get_body().status_reason
        return RunError(f"Run {ended.name} ended as {ended.status.value}: {why or 'no reason is given'}.")
    step = failed[0]
    lost = f"Step {step.name} of run {ended.name} failed and left no word, as if it was killed: see its log."
    if step.exception_info is None:
        return RunError(lost)
    error = reconstruct_exception(step.exception_info, lost)
    error.add_note(f"In step {step.name}, where it ran:\n{step.exception_info.traceback}")
    return error
