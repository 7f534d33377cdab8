"""KServe: an InferenceService for the model, protocol v2; a challenger is its newest revision, with a share.

KServe keeps the revision that serves and gives the newest one `canaryTrafficPercent` of the requests. A
candidate and a shadow, which answer nobody, are InferenceServices of their own. A container of ours in place
of KServe's `model`: the bundle comes by our init container, as under each runtime.
"""

from __future__ import annotations

from dataclasses import replace

from stacks.cluster.objects import Manifest
from stacks.components.seldon_core.pod import pod_metadata, pod_spec
from stacks.components.seldon_core.renderings.manifest import condition, is_seen, manifest
from stacks.components.seldon_core.renderings.rendering import Rendering
from stacks.components.seldon_core.renderings.scaling import replicas, scales
from stacks.components.seldon_core.served import CHAMPION, Served, ServedBundle
from stacks.components.seldon_core.settings import SeldonCoreSettings

_PORT, CHALLENGER = 80, "challenger"


def render(served: Served, settings: SeldonCoreSettings) -> list[Manifest]:
    """Return the model's InferenceService, and those of what is beside it and answers nobody."""
    aside = (bundle for bundle in served.beside if bundle.role != CHALLENGER)
    return [_model(served, settings), *(_service(served, bundle, settings) for bundle in aside)]


def address(served: Served, bundle: ServedBundle) -> tuple[str, int]:
    """Return the service of its predictor; champion and challenger share one."""
    return f"{_name(served, bundle)}-predictor", _PORT


def workloads(served: Served, bundle: ServedBundle) -> list[tuple[str, str]]:
    """Return its InferenceService."""
    return [("InferenceService", _name(served, bundle))]


def fault(live: Manifest) -> str | None:
    """Return why an InferenceService is not ready, "" while it is on its way; None once it is."""
    ready = condition(live, "Ready")
    if ready.get("status") == "True" and is_seen(live):
        return None
    failure = live.get("status", {}).get("modelStatus", {}).get("lastFailureInfo", {})
    return str(failure.get("message", ""))


def _name(served: Served, bundle: ServedBundle) -> str:
    return served.name if bundle.role == CHALLENGER else served.model(bundle)


def _model(served: Served, settings: SeldonCoreSettings) -> Manifest:
    challenger = served.in_role(CHALLENGER)
    if challenger is None:
        return _service(served, served.champion, settings)
    rendered = _service(served, replace(challenger, role=CHAMPION), settings)
    rendered["spec"]["predictor"]["canaryTrafficPercent"] = challenger.share
    return rendered


def _service(served: Served, bundle: ServedBundle, settings: SeldonCoreSettings) -> Manifest:
    predictor: Manifest = {
        **pod_metadata(served, bundle),
        **pod_spec(served, bundle, settings),
        "minReplicas": replicas(bundle, settings),
        "maxReplicas": settings.max_replicas if scales(bundle, settings) else replicas(bundle, settings),
        "scaleMetric": "cpu",
        "scaleTarget": settings.cpu_target,
    }
    name = served.model(bundle)
    return manifest("InferenceService", name, served, settings, {"spec": {"predictor": predictor}}, bundle)


RENDERING = Rendering(("InferenceService",), render, address, workloads, fault)
