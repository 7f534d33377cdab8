"""Serve the version on trial beside the champion, through the active stack's model deployer."""

from typing import Annotated, Any

from zenml import log_metadata, step

from accidents.bundle.golden import make_golden
from accidents.rollout.traffic_split import Role
from stacks.endpoints import BundleReference, active_endpoints
from steps.folder import Folder
from steps.support import champion_and_versions, registry_mirror
from steps.support.references import VersionReference


@step(enable_cache=False)  # what serves is outside the artifact store, and may be another by now
def try_version(
    bundle: Folder, version: VersionReference, role: Role, share: int
) -> Annotated[dict[str, Any], "trial"]:
    """Have it give the golden answers at the endpoint, then its share or a copy of each request.

    Parameters
    ----------
    share : percent of the requests that a challenger answers; 0 for a shadow.
    """
    chosen, loaded = champion_and_versions.version(version.name, version.version), version.load(bundle)
    golden = make_golden(loaded)
    reference = BundleReference(
        version.name, version.version, version.digest, version.uri, registry_mirror.registry_version(chosen)
    )
    endpoint = active_endpoints().endpoint(version.name)
    trial = endpoint.try_out(reference, golden, role, share)
    facts = {
        "name": version.name,
        "version": version.version,
        "role": trial.role,
        "share": trial.share,
        "beside": endpoint.versions()[0].version,
        "golden_rows": len(golden.p_severe),
        "synthetic": bool(loaded.facts["synthetic"]),
    }
    log_metadata(metadata={"trial": facts}, model_version_id=chosen.id)
    return facts
