"""Deploy: the champion, or a version asked for, through the stack's model deployer."""

from __future__ import annotations

from zenml import pipeline
from zenml.enums import ExecutionMode

from pipelines.progress import step_started
from steps.deployment.check_parity import check_parity
from steps.deployment.deploy_model import deploy_model
from steps.deployment.load_version import load_version


@pipeline(name="deploy", on_start=step_started, execution_mode=ExecutionMode.FAIL_FAST)
def deploy(stage: str, version: str | None) -> None:
    """Check the bundle, prove it predicts as in training, deploy it, prove that the endpoint does too."""
    bundle, facts = load_version(stage, version)
    check_parity(bundle)
    deploy_model(bundle, facts, after="check_parity")
