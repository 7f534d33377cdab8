"""The short way to a handler: FastAPI declares and documents a route, but need not stand in its way.

Its middleware, its matching of each route in turn and its two stacks of contexts do nothing for a handler
that takes the request and gives the response.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send


class Direct:
    """Asks the handlers of `routes`; leaves every other request to `app`.

    What a handler raises is left to whoever stands before: the gate answers an ApiError.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[APIRoute]) -> None:
        self._app = app
        self._routes = {(method, route.path): route for route in routes for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        route = self._routes.get((scope.get("method", ""), scope.get("path", "")))
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route  # by which it is counted
        response = await route.endpoint(Request(scope, receive))
        await response(scope, receive, send)
