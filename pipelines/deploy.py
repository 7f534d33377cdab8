"""Deploy: the champion, a version asked for, or one on trial, through the stack's model deployer."""

from __future__ import annotations

from typing import Any

from zenml import pipeline
from zenml.enums import ExecutionMode

from accidents.rollout.traffic_split import CHAMPION, Role
from pipelines.code import HERE
from pipelines.progress import step_started
from steps.deployment.check_parity import check_parity
from steps.deployment.deploy_model import deploy_model
from steps.deployment.try_version import try_version
from steps.support.references import VersionReference, bundle_of


@pipeline(
    name="deploy",
    on_start=step_started,
    execution_mode=ExecutionMode.FAIL_FAST,
    extra={HERE: True},
)
def deploy(version: VersionReference, role: Role = CHAMPION, share: int = 0) -> None:
    """Check the bundle, prove it predicts as in training, deploy it, prove that the endpoint does too.

    Parameters
    ----------
    role : what it is deployed for; as a challenger or shadow it serves beside the champion.
    share : percent of the requests that a challenger answers.
    """
    bundle: Any = bundle_of(version)
    check_parity(bundle, version)
    if role == CHAMPION:
        deploy_model(bundle, version, after="check_parity")
    else:
        try_version(bundle, version, role, share, after="check_parity")
