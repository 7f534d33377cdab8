"""An orchestrator that runs steps elsewhere and later: each in a process of its own, nobody waiting for it.

It starts them as ZenML's orchestrators start them in containers, by the entrypoint of a step, and returns
at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import psutil
from zenml.entrypoints.step_entrypoint_configuration import StepEntrypointConfiguration
from zenml.enums import ExecutionMode, ExecutionStatus
from zenml.orchestrators import BaseOrchestrator, BaseOrchestratorConfig, BaseOrchestratorFlavor
from zenml.orchestrators.base_orchestrator import SubmissionResult

RUN_ID = "TESTS_ORCHESTRATOR_RUN_ID"
PROCESS = "process"
# What is given as words are the steps' commands, one after the other; the first that fails ends it.
ONE_AFTER_ANOTHER = "import subprocess, sys\nfor one in sys.argv[1:]: subprocess.check_call(one.split('\\t'))"


class ElsewhereConfig(BaseOrchestratorConfig):
    """Nothing to set."""

    @property
    def is_local(self) -> bool:
        """It needs neither images nor a remote store."""
        return True

    @property
    def is_synchronous(self) -> bool:
        """It does not wait."""
        return False


class ElsewhereOrchestrator(BaseOrchestrator):
    """Runs the steps of a pipeline one after another, in the background."""

    def submit_pipeline(self, snapshot: Any, stack: Any, *_: Any, **__: Any) -> SubmissionResult:
        """Start the processes' parent and return."""
        command = StepEntrypointConfiguration.get_entrypoint_command()
        steps = [
            [*command, *StepEntrypointConfiguration.get_entrypoint_arguments(
                step_name=name, snapshot_id=snapshot.id
            )]
            for name in snapshot.step_configurations
        ]  # fmt: skip
        words = ["\t".join([sys.executable, *step[1:]]) for step in steps]
        started = subprocess.Popen(
            [sys.executable, "-c", ONE_AFTER_ANOTHER, *words],
            env=os.environ | {RUN_ID: str(snapshot.id)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return SubmissionResult(metadata={PROCESS: started.pid})

    def get_orchestrator_run_id(self) -> str:
        """The same in every process of a run."""
        return os.environ[RUN_ID]

    def fetch_status(self, run: Any, include_steps: bool = False) -> tuple[ExecutionStatus | None, None]:
        """Failed, if the processes are gone and the run has not ended."""
        held = [run.run_metadata, *(each for each in run.run_metadata.values() if isinstance(each, dict))]
        number = next(each[PROCESS] for each in held if PROCESS in each)
        try:
            gone = psutil.Process(number).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            gone = True
        return (ExecutionStatus.FAILED if gone else None), None

    @property
    def supported_execution_modes(self) -> list[ExecutionMode]:
        """All of them, as far as the tests go."""
        return list(ExecutionMode)


class ElsewhereFlavor(BaseOrchestratorFlavor):
    """For `Client().create_flavor`."""

    @property
    def name(self) -> str:
        """Its name in a stack."""
        return "elsewhere"

    @property
    def config_class(self) -> type[BaseOrchestratorConfig]:
        """Nothing to set."""
        return ElsewhereConfig

    @property
    def implementation_class(self) -> type[BaseOrchestrator]:
        """What runs the steps."""
        return ElsewhereOrchestrator
