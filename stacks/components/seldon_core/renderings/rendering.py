"""What a runtime has to say: how it serves, where a version is asked, and whether it is ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stacks.cluster.objects import Manifest
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.labels import ROLE
from stacks.components.seldon_core.settings import SeldonCoreSettings
from stacks.components.trials import CHAMPION


def if_of_champion(applied: Manifest) -> Manifest | None:
    """Return an object of the champion's as it is; None for one that goes with what is beside it."""
    return applied if applied["metadata"]["labels"].get(ROLE) == CHAMPION else None


@dataclass(frozen=True)
class Rendering:
    """How one runtime serves.

    Attributes
    ----------
    kinds : of the objects that it makes.
    render : the objects, in the order in which they are applied.
    address : service and port, in the namespace, at which a version is asked.
    workloads : kind and name of the objects that say whether a version is ready.
    fault : why such an object is not ready, "" while it is on its way; None once it is.
    without_trials : an object that was applied, as it is with nothing beside the champion; None: it goes.
    own_pods : whether a version has pods of its own, which must be ready, too.
    lacking : what keeps its objects from serving anything yet; "" where nothing does.
    """

    kinds: tuple[str, ...]
    render: Callable[[Served, SeldonCoreSettings], list[Manifest]]
    address: Callable[[Served, ServedBundle], tuple[str, int]]
    workloads: Callable[[Served, ServedBundle], list[tuple[str, str]]]
    fault: Callable[[Manifest], str | None]
    without_trials: Callable[[Manifest], Manifest | None] = if_of_champion
    own_pods: bool = True
    lacking: str = ""
