"""Serve the version, through the active stack's model deployer."""

from typing import Annotated, Any

from zenml import log_metadata, step

from accidents.bundle.golden import golden_of
from accidents.errors import AccidentsError
from steps.folder import Folder
from steps.support import registry
from steps.support.deployment import (
    DeploymentError,
    active_deployer,
    check_golden,
    deploy,
    facts_of,
    services,
)
from steps.support.references import VersionReference


@step
def deploy_model(
    bundle: Folder, golden: Folder, version: VersionReference
) -> Annotated[dict[str, Any], "deployment"]:
    """Deploy, then ask the endpoint itself for the golden rows; whatever fails, the old version serves on."""
    deployer = active_deployer()
    chosen, loaded = registry.version(version.name, version.version), version.load(bundle)
    before = [one.config.model_version for one in services(deployer, version.name)]
    service = deploy(deployer, chosen, bundle.path, golden / "golden.json")
    checked = golden_of(loaded)
    try:
        difference = check_golden(service, checked)
    except AccidentsError as error:
        raise DeploymentError(
            f"{error} Or was another version deployed meanwhile? `run.py status` tells."
        ) from error
    facts = {
        **facts_of(service),
        "before": before[0] if before else None,
        "golden_rows": len(checked.p_severe),
        "difference": difference,
        "synthetic": bool(loaded.facts["synthetic"]),
    }
    log_metadata(metadata={"deployment": facts}, model_version_id=chosen.id)
    return facts
