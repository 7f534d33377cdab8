"""Deploy: the champion, or a version asked for, through the stack's model deployer."""

from __future__ import annotations

from typing import Any

from zenml import pipeline
from zenml.enums import ExecutionMode

from pipelines.progress import step_started
from steps.deployment.check_parity import check_parity
from steps.deployment.deploy_model import deploy_model
from steps.support.references import VersionReference, bundle_of


@pipeline(name="deploy", on_start=step_started, execution_mode=ExecutionMode.FAIL_FAST)
def deploy(version: VersionReference) -> None:
    """Check the bundle, prove it predicts as in training, deploy it, prove that the endpoint does too."""
    bundle: Any = bundle_of(version)
    check_parity(bundle, version)
    deploy_model(bundle, version, after="check_parity")
