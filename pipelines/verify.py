"""Verify: the first hour of a version that the loop has deployed."""

from __future__ import annotations

from typing import Any

from zenml import pipeline
from zenml.enums import ExecutionMode

from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.rollout.traffic_split import CHAMPION, Role
from pipelines.code import HERE
from pipelines.progress import step_started
from steps.deployment.watch_version import watch_version
from steps.support.references import VersionReference, bundle_of


@pipeline(
    name="verify",
    on_start=step_started,
    execution_mode=ExecutionMode.FAIL_FAST,
    extra={HERE: True},
)
def verify(
    version: VersionReference,
    before: VersionReference | None,
    since: str,
    settings: MonitorSettings,
    api: str | None,
    role: Role = CHAMPION,
    share: int = 100,
) -> None:
    """Watch the version, and say whether it stays; who called takes it back if it does not."""
    bundle: Any = bundle_of(version)
    earlier: Any = None if before is None else bundle_of(before)
    watch_version(bundle, version, since, settings, api, role, earlier, before, share)
