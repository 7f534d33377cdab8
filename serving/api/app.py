"""The application: routes, page, errors, and the gate in front of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from accidents.__about__ import __version__
from accidents.geography.departments import SHAPES
from accidents.predictions.store import PredictionStore
from serving.api.errors import ApiError
from serving.api.http.authentication import Gate
from serving.api.http.direct_routing import Direct
from serving.api.http.openapi import document_of
from serving.api.http.shared_rates import rates_for
from serving.api.http.swagger_ui import add_docs
from serving.api.http.validation_errors import where
from serving.api.operations.keys_in_database import keys_for
from serving.api.operations.metrics import BUILD
from serving.api.predicting.warming import warm_up
from serving.api.routes import router, takes_request_alone
from serving.api.settings import ApiSettings
from serving.api.wiring import running

_WEB = Path(__file__).resolve().parent.parent / "web"
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_ALLOWED = {"POST": "OPTIONS, POST"}  # of a route that has this method; the others are read
_MESSAGES = {404: "There is nothing here.", 405: "This method is not for this address."}


def create_app(settings: ApiSettings) -> FastAPI:
    """Return the API as an ASGI application. Raises KeysError for a file of keys that cannot be trusted."""
    store = PredictionStore(settings.database_url)
    keys, hook_keys = (keys_for(settings, store, hook, watched=True) for hook in (False, True))
    rates = rates_for(settings, store)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(settings, store, rates, (keys, hook_keys)) as parts:
            app.state.parts = parts
            await warm_up()
            yield

    app = FastAPI(
        title="Accident severity",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.openapi = lambda: document_of(app)  # type: ignore[method-assign]
    app.include_router(router)
    add_docs(app)
    _add_page(app)
    _add_errors(app)
    routes = [route.path for route in router.routes if isinstance(route, Route)]
    own = [route for route in router.routes if isinstance(route, APIRoute) and takes_request_alone(route)]
    app.add_middleware(Direct, routes=own)
    app.add_middleware(Gate, settings=settings, keys=keys, hook_keys=hook_keys, rates=rates, routes=routes)
    if settings.allowed_origins:
        _allow_origins(app, settings.allowed_origins)
    BUILD.labels(__version__).set(1)
    return app


def _allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Outside of the gate: a browser asks whether it may without a key, and a page sees refusals, too."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["Authorization", "Content-Encoding", "Content-Type", "X-API-Key"],
        expose_headers=["Retry-After", "X-Request-Id"],
    )  # without credentials: keys come in headers, never in cookies


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_WEB / "index.html", headers=_REVALIDATED)

    @app.get("/static/departments.json", include_in_schema=False)
    async def shapes() -> FileResponse:
        return FileResponse(SHAPES, headers=_REVALIDATED)

    app.mount("/static", _Revalidated(directory=_WEB))


_REVALIDATED = {"Cache-Control": "no-cache"}  # keep it, but ask whether it is still right


class _Revalidated(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(_REVALIDATED)
        return response


def _add_errors(app: FastAPI) -> None:
    """Every error in the one shape, also those of FastAPI and Starlette; defects are the gate's."""
    handlers: dict[type[Exception], Callable[[Any], ApiError]] = {
        ApiError: lambda error: error,
        HTTPException: _http_error,
        RequestValidationError: _query_error,
    }
    for kind, translate in handlers.items():
        app.add_exception_handler(kind, _handler(translate))


def _handler(translate: Callable[[Any], ApiError]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        answer = translate(error)
        if answer.status == 405 and request.method == "OPTIONS":
            return Response(status_code=204, headers=answer.headers)
        body = answer.body(request.state.request_id)
        return Response(body, answer.status, answer.headers, media_type="application/json")

    return handle


def _http_error(error: HTTPException) -> ApiError:
    code = _CODES.get(error.status_code, "bad_request")
    message = _MESSAGES.get(error.status_code, "The request cannot be answered.")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _ALLOWED.get(headers.get("Allow", ""), "GET, HEAD, OPTIONS")
    return ApiError(code, message, headers=headers)


def _query_error(error: RequestValidationError) -> ApiError:
    details = [{"where": where(mistake["loc"]), "message": str(mistake["msg"])} for mistake in error.errors()]
    return ApiError("invalid", f"{details[0]['where']}: {details[0]['message']}", details)
