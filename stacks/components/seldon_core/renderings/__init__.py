"""What is served, as objects of a cluster: one file a runtime, chosen by one line here."""

from __future__ import annotations

from collections.abc import Mapping

from stacks.components.seldon_core.renderings import deployment, kserve, seldon, seldon2
from stacks.components.seldon_core.renderings.rendering import Rendering
from stacks.components.seldon_core.settings import Runtime
from stacks.errors import StackError

RENDERINGS: Mapping[Runtime, Rendering] = {
    "deployment": deployment.RENDERING,
    "seldon": seldon.RENDERING,
    "kserve": kserve.RENDERING,
    "seldon2": seldon2.RENDERING,
}


def require_serving(runtime: Runtime) -> None:
    """Raise StackError for a runtime whose objects fit a cluster that has it, and serve nothing yet."""
    rendering = RENDERINGS.get(runtime)
    if rendering is not None and rendering.lacking:
        raise StackError(
            f"Runtime {runtime} of the model deployer does not serve yet: {rendering.lacking}; neither is "
            "made. Set `runtime` to deployment, or to what the cluster has of seldon and kserve."
        )
