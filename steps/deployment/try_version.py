"""Serve the version on trial beside the champion, through the active stack's model deployer."""

from typing import Annotated, Any

from zenml import log_metadata, step

from accidents.bundle.golden import golden_of
from accidents.rollout.roles import Role
from stacks.endpoints import BundleReference, active_endpoints
from steps.folder import Folder
from steps.support import mirror, registry


@step
def try_version(
    bundle: Folder, version_facts: dict[str, Any], role: Role, share: int
) -> Annotated[dict[str, Any], "trial"]:
    """Have it give the golden answers at the endpoint, then its share or a copy of each request.

    Parameters
    ----------
    share : percent of the requests that a challenger answers; 0 for a shadow.
    """
    name, number = version_facts["name"], version_facts["version"]
    chosen = registry.version(name, number)
    golden = golden_of(registry.registered(bundle, version_facts))
    reference = BundleReference(
        name, number, registry.digest_of(chosen), bundle.path, mirror.registry_version(chosen)
    )
    endpoint = active_endpoints().endpoint(name)
    trial = endpoint.try_out(reference, golden, role, share)
    facts = {
        "name": name,
        "version": number,
        "role": trial.role,
        "share": trial.share,
        "beside": endpoint.versions()[0].version,
        "golden_rows": len(golden.p_severe),
        "synthetic": version_facts["synthetic"],
    }
    log_metadata(metadata={"trial": facts}, model_version_id=chosen.id)
    return facts
