"""Who scores an accident: the champion, or the challenger; and who scores its copy, the shadow.

The champion's metadata names the versions beside it (docs/decisions/0029-routes-from-metadata.md). They are
read once in a while, beside the requests: without a challenger a request pays nothing for there being routes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from accidents.rollout.traffic_split import CHALLENGER, SHADOW, SHARES, Role, is_in_share
from serving.api.errors import ApiError
from serving.api.operations.metrics import SHARE
from serving.api.predicting.batching import Batcher
from serving.api.predicting.model_servers import ModelServers

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Route:
    """A version beside the champion.

    Attributes
    ----------
    model : its name on the model server.
    share : percent of the accidents that it answers; 0 for a shadow.
    server : address of the server that has it, without /v2; empty: the champion's.
    """

    role: Role
    model: str
    share: int
    server: str = ""


@dataclass(frozen=True)
class Beside:
    """A route that can be asked, and how."""

    route: Route
    version: str
    server: ModelServers
    batcher: Batcher


class Rollout:
    """The routes as of the last look.

    Parameters
    ----------
    champion : the server that names the others.
    connect : makes a server and a batcher for a role, the name of a model, and a server's address.
    """

    def __init__(
        self, champion: ModelServers, connect: Callable[[Role, str, str], tuple[ModelServers, Batcher]]
    ) -> None:
        self._champion, self._connect = champion, connect
        self._connected: dict[tuple[Role, str, str], tuple[ModelServers, Batcher]] = {}
        self._complaints: dict[str, str] = {}
        self.challenger: Beside | None = None
        self.shadow: Beside | None = None

    def to_list(self) -> list[dict[str, Any]]:
        """Return the versions beside the champion (RouteAnswer)."""
        beside = (version for version in (self.challenger, self.shadow) if version is not None)
        return [
            {"role": version.route.role, "version": version.version, "share": version.route.share}
            for version in beside
        ]

    def challenger_for(self, accident: str) -> Batcher | None:
        """Who scores the accident of this id in place of the champion, if it is the challenger's."""
        challenger = self.challenger
        if challenger is None or not is_in_share(accident, challenger.route.share):
            return None
        return challenger.batcher

    def drop_challenger(self) -> None:
        """Let the champion answer everything until the next look: the challenger did not answer."""
        self.challenger = None

    async def watch(self, every: float) -> None:
        """Look every so many seconds, until cancelled."""
        while True:
            try:
                await self.refresh()
            except Exception:  # a defect must not end the watch
                _LOG.exception("The routes could not be read")
            await asyncio.sleep(every)

    async def refresh(self) -> None:
        """Read the routes, and take up those that can be asked; as they are if the server does not answer."""
        metadata = await self._champion.metadata()
        if metadata is None:
            return
        routes = self._parsed(metadata)
        self.challenger = await self._reached(routes.get(CHALLENGER))
        self.shadow = await self._reached(routes.get(SHADOW))
        for role, beside in ((CHALLENGER, self.challenger), (SHADOW, self.shadow)):
            SHARE.labels(role).set((beside.route.share or 100) if beside else 0)

    def close(self) -> None:
        """Close the connections."""
        for server, _ in self._connected.values():
            server.stop()

    def _parsed(self, metadata: Mapping[str, Any]) -> dict[Role, Route]:
        parameters = metadata.get("parameters")
        try:
            routes = parse_routes(parameters.get("routes", "[]") if parameters else "[]")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            words = f"{error!r}: {str(parameters)[:300]}"
            self._complain("routes", f"The model server's routes make no sense, there are none: {words}")
            return {}
        self._complain("routes", "")
        return routes

    async def _reached(self, route: Route | None) -> Beside | None:
        """Return a route with how it is asked; None if there is none, or its model cannot be asked now."""
        if route is None:
            return None
        key = (route.role, route.model, route.server)
        if key not in self._connected:
            self._connected[key] = self._connect(*key)
        server, batcher = self._connected[key]
        try:
            facts, champion = await server.check(), await self._champion.facts()
        except ApiError as error:
            self._complain(route.role, f"The {route.role} {route.model} cannot be asked: {error.message}")
            return None
        if facts.stage != champion.stage:
            self._complain(route.role, f"The {route.role} {route.model} is of stage {facts.stage}.")
            return None
        self._complain(route.role, "")
        return Beside(route, facts.version, server, batcher)

    def _complain(self, about: str, complaint: str) -> None:
        """Once, not at each look; "" once all is well."""
        if complaint and complaint != self._complaints.get(about):
            _LOG.error("%s", complaint)
        self._complaints[about] = complaint


def parse_routes(routes_as_json: str) -> dict[Role, Route]:
    """Return the routes of a champion's metadata, by role. Raises ValueError, KeyError or TypeError."""
    routes: dict[Role, Route] = {}
    for route in orjson.loads(routes_as_json):
        role, share = route["role"], int(route.get("share", 0))
        if role not in (CHALLENGER, SHADOW) or role in routes:
            raise ValueError(f"role {role!r}")
        if role == CHALLENGER and share not in SHARES:
            raise ValueError(f"share {share}")
        routes[role] = Route(role, str(route["model"]), share, str(route.get("server", "")))
    return routes
