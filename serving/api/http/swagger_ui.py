"""/docs: Swagger UI from the package `swagger-ui-bundle`, without a host other than ours."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

from serving.api.http.openapi import document_of

router = APIRouter(include_in_schema=False)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><title>Accident severity API</title>
<link rel="stylesheet" href="docs/static/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/static/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """window.onload = () => {
  window.ui = SwaggerUIBundle({
    url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
  });
};
"""


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """Send the document itself."""
    return Response(orjson.dumps(document_of(request.app)), media_type="application/json")


@router.get("/docs")
async def docs() -> Response:
    """Send the page."""
    return Response(_PAGE, media_type="text/html")


@router.get("/docs/start.js")
async def start() -> Response:
    """Its only script of ours; the policy forbids scripts within a page."""
    return Response(_START, media_type="text/javascript")


def add_docs(app: FastAPI) -> None:
    """Add the routes and Swagger UI's own files."""
    app.include_router(router)
    app.mount("/docs/static", StaticFiles(directory=swagger_ui_path))
