"""Verify: the first hour of a version that the loop has deployed."""

from __future__ import annotations

from zenml import pipeline
from zenml.enums import ExecutionMode

from accidents.monitoring.policy import MonitorSettings
from accidents.rollout.roles import CHAMPION, Role
from pipelines.code import HERE
from pipelines.progress import step_started
from steps.deployment.watch_version import watch_version


@pipeline(
    name="verify",
    on_start=step_started,
    execution_mode=ExecutionMode.FAIL_FAST,
    extra={HERE: True},
)
def verify(
    stage: str,
    version: str,
    before: str | None,
    since: str,
    settings: MonitorSettings,
    api: str | None,
    role: Role = CHAMPION,
) -> None:
    """Watch the version, and say whether it stays; who called takes it back if it does not."""
    watch_version(stage, version, before, since, settings, api, role)
