"""Serve the version, through the active stack's model deployer."""

from typing import Annotated, Any

from zenml import log_metadata, step

from accidents.bundle.golden import make_golden
from accidents.errors import AccidentsError
from stacks.endpoints import BundleReference, DeploymentError, active_endpoints
from steps.folder import Folder
from steps.support import champion_and_versions, registry_mirror
from steps.support.references import VersionReference


@step(enable_cache=False)  # what serves is outside the artifact store, and may be another by now
def deploy_model(bundle: Folder, version: VersionReference) -> Annotated[dict[str, Any], "deployment"]:
    """Deploy, then ask the endpoint for the golden rows; a difference is an error, but undoes nothing."""
    chosen, loaded = champion_and_versions.version(version.name, version.version), version.load(bundle)
    golden = make_golden(loaded)
    endpoint = active_endpoints().endpoint(version.name)
    before = endpoint.versions()
    reference = BundleReference(
        version.name, version.version, version.digest, version.uri, registry_mirror.registry_version(chosen)
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
        "name": version.name,
        "version": version.version,
        "url": url,
        "before": before[0].version if before else None,
        "ended": [f"{trial.version} ({trial.role})" for trial in before[1:]],
        "golden_rows": len(golden.p_severe),
        "difference": difference,
        "synthetic": bool(loaded.facts["synthetic"]),
    }
    log_metadata(metadata={"deployment": facts}, model_version_id=chosen.id)
    return facts
