"""Serve the version, through the active stack's model deployer."""

from typing import Annotated, Any

from zenml import log_metadata, step

from accidents.bundle.golden import golden_of
from accidents.errors import AccidentsError
from stacks.endpoints import BundleReference, DeploymentError, active_endpoints
from steps.folder import Folder
from steps.support import mirror, registry


@step
def deploy_model(bundle: Folder, version_facts: dict[str, Any]) -> Annotated[dict[str, Any], "deployment"]:
    """Deploy, then ask the endpoint itself for the golden rows; whatever fails, the old version serves on."""
    name, number = version_facts["name"], version_facts["version"]
    chosen = registry.version(name, number)
    golden = golden_of(registry.registered(bundle, version_facts))
    endpoint = active_endpoints().endpoint(name)
    before = endpoint.versions()
    reference = BundleReference(
        name, number, registry.digest_of(chosen), bundle.path, mirror.registry_version(chosen)
    )
    endpoint.deploy(reference, golden)
    url = endpoint.state().url
    try:
        difference = golden.check(endpoint.predict(golden.features), f"The server at {url}")
    except AccidentsError as error:
        raise DeploymentError(
            f"{error} Or was another version deployed meanwhile? `run.py status` tells."
        ) from error
    facts = {
        "name": name,
        "version": number,
        "url": url,
        "before": before[0].version if before else None,
        "ended": [f"{one.version} ({one.role})" for one in before[1:]],
        "golden_rows": len(golden.p_severe),
        "difference": difference,
        "synthetic": version_facts["synthetic"],
    }
    log_metadata(metadata={"deployment": facts}, model_version_id=chosen.id)
    return facts
