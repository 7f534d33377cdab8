"""What a model has in the cluster: one description, whatever renders it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from stacks.components.trials import CHAMPION, served_as

# A candidate proves itself and is told to nobody. Its model is named by its role, and not "-candidate": so
# ends what a killed deployment to a machine's one server leaves, which no model server loads at its start.
CANDIDATE = "proving"
HTTP_PORT, GRPC_PORT, METRICS_PORT = 8085, 8086, 8087  # of serving/Dockerfile
RECORD, ROUTES, RUNTIME, OBJECTS = "served.json", "routes.json", "runtime", "objects.json"  # of the ConfigMap


@dataclass(frozen=True)
class ServedBundle:
    """A version in a role: `share` is the percent of the requests that it answers, by its role."""

    version: str
    digest: str
    uri: str
    role: str = CHAMPION
    share: int = 100


@dataclass(frozen=True)
class Served:
    """A model: its champion, and what is beside it. `stopped`: known, and not running."""

    name: str
    champion: ServedBundle
    beside: tuple[ServedBundle, ...] = ()
    stopped: bool = False

    def __iter__(self) -> Iterator[ServedBundle]:
        """Yield the champion, then what is beside it."""
        yield self.champion
        yield from self.beside

    def with_beside(self, bundle: ServedBundle) -> Served:
        """Return the same with a version beside the champion, in place of one in the same role."""
        others = (other for other in self.beside if other.role != bundle.role)
        return self.sharing((*others, bundle))

    def trying(self, bundle: ServedBundle) -> Served:
        """Return the same with a version on trial: in place of one in its role, and of itself in another."""
        itself = (bundle.version, bundle.digest)
        others = (other for other in self.beside if (other.version, other.digest) != itself)
        return replace(self, beside=tuple(others)).with_beside(bundle)

    def without(self, *roles: str) -> Served:
        """Return the same without the versions in these roles."""
        return self.sharing(tuple(other for other in self.beside if other.role not in roles))

    def kept_in(self, now: Served) -> Served:
        """Return the same with those beside the champion alone whom `now` has in their role, in any share."""
        there = {(other.role, other.version, other.digest) for other in now.beside}
        kept = [each for each in self.beside if (each.role, each.version, each.digest) in there]
        return self.sharing(tuple(kept))

    def sharing(self, beside: tuple[ServedBundle, ...]) -> Served:
        """Return the same with these beside the champion, which answers what they leave."""
        rest = 100 - sum(other.share for other in beside)
        return replace(self, champion=replace(self.champion, share=rest), beside=beside, stopped=False)

    def in_role(self, role: str) -> ServedBundle | None:
        """Return the version in a role, None if there is none."""
        return next((bundle for bundle in self if bundle.role == role), None)

    def model(self, bundle: ServedBundle) -> str:
        """Return the name that a version has at its model server."""
        return served_as(self.name, bundle.role)

    def to_json(self) -> str:
        """Write it down."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Served:
        """Read what `to_json` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        content: dict[str, Any] = json.loads(text)
        return cls(
            content["name"],
            ServedBundle(**content["champion"]),
            tuple(ServedBundle(**bundle) for bundle in content["beside"]),
            content["stopped"],
        )
