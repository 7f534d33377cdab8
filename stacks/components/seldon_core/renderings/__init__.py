"""What is served, as objects of a cluster: one file a runtime, chosen by one line here."""

from __future__ import annotations

from collections.abc import Mapping

from stacks.components.seldon_core.renderings import deployment, kserve, seldon, seldon2
from stacks.components.seldon_core.renderings.rendering import Rendering
from stacks.components.seldon_core.settings import Runtime

RENDERINGS: Mapping[Runtime, Rendering] = {
    "deployment": deployment.RENDERING,
    "seldon": seldon.RENDERING,
    "kserve": kserve.RENDERING,
    "seldon2": seldon2.RENDERING,
}
