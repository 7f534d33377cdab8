"""The OpenAPI document. Version 3.0: our Swagger UI (4.15) cannot draw FastAPI's 3.1."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving.api.errors import STATUS
from serving.api.operations.hooks import Notification
from serving.api.schema import answers
from serving.api.schema.accident import Accident, Batch, Outcomes

_BODIES: tuple[type[BaseModel], ...] = (Accident, Batch, Outcomes, Notification)
_REFERENCE = "#/components/schemas/{model}"
_KEY: list[dict[str, list[str]]] = [{"ApiKey": []}, {"Bearer": []}, {}]
_HOOK_KEY: list[dict[str, list[str]]] = [{"HookKey": []}, {"HookBearer": []}]
_SECURITY = dict.fromkeys(("/predict", "/predict/batch", "/labels", "/metrics"), _KEY)
_SECURITY["/hooks/alert"] = _HOOK_KEY
_ABOUT = """
How likely is it that someone is **killed or hospitalised** in a road accident with injuries, from what a
control room knows when it hears of it. The probability is P(severe | an injury accident was recorded), not
the risk that an accident happens.

Send your key in `X-API-Key` (or `Authorization: Bearer KEY`). Every answer has an `X-Request-Id`; every
error has one shape, `{"error": {"code", "message", "details", "request_id"}}`. After a 503 or 429 wait
`Retry-After` seconds and send the same again.
"""
_TAGS = [
    {"name": "predictions", "description": "Ask for one accident or many."},
    {"name": "outcomes", "description": "Say what happened, so that the model can be watched."},
    {"name": "words", "description": "The code list in English and French."},
    {"name": "hooks", "description": "For Alertmanager."},
    {"name": "operation", "description": "Health and metrics, for those who run this."},
]
_HOOK = "A key that opens the hook and nothing else."
_SCHEMES = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
    "HookKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": _HOOK},
    "HookBearer": {"type": "http", "scheme": "bearer", "description": _HOOK},
}
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}, "required": True}
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare error responses of a route, with the codes each status may bear."""
    return {status: _error(status) for status in statuses}


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """Declare the JSON body of a route that reads it by itself."""
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def query_of(model: type[BaseModel]) -> dict[str, Any]:
    """Declare the query of a route that reads it by itself."""
    fields = model.model_json_schema()["properties"]
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in fields.items()
        ]
    }


def document_of(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI 3.0 document of the app, made once."""
    if app.openapi_schema is None:
        whole = get_openapi(
            title=app.title, version=app.version, description=_ABOUT, routes=app.routes, tags=_TAGS
        )
        _, bodies = models_json_schema([(model, "validation") for model in _BODIES], ref_template=_REFERENCE)
        schemas = whole["components"]["schemas"]
        schemas |= bodies["$defs"]
        for of_fastapi in ("HTTPValidationError", "ValidationError"):
            schemas.pop(of_fastapi, None)
        whole["components"]["securitySchemes"] = _SCHEMES
        for path, operations in whole["paths"].items():
            for operation in operations.values():
                _complete(operation, _SECURITY.get(path))
        app.openapi_schema = {**_plain(whole), "openapi": "3.0.3"}
    return app.openapi_schema


def _error(status: int) -> dict[str, Any]:
    codes = ", ".join(f"`{code}`" for code, its in STATUS.items() if its == status)
    described = f"{HTTPStatus(status).phrase}: {codes}"
    declared: dict[str, Any] = {"model": answers.ErrorAnswer, "description": described}
    return declared | ({"headers": _RETRY_AFTER} if status in (429, 503) else {})


def _complete(operation: dict[str, Any], security: list[dict[str, list[str]]] | None) -> None:
    """Who may ask, and our own shape of the 422 that FastAPI declares for queries."""
    if security is not None:
        operation["security"] = security
    if "422" in operation["responses"]:
        schema = {"$ref": _REFERENCE.format(model="ErrorAnswer")}
        operation["responses"]["422"]["content"] = {"application/json": {"schema": schema}}


def _plain(node: Any) -> Any:
    """JSON Schema as OpenAPI 3.0 has it: `nullable`, one `example`, no `const`."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    result = {key: _plain(value) for key, value in node.items()}
    if isinstance(result.get("anyOf"), list):
        result = _nullable(result)
    if isinstance(result.get("examples"), list):
        result.setdefault("example", result.pop("examples")[0])
    if "const" in result:
        result["enum"] = [result.pop("const")]
    return result


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    forms = [form for form in schema["anyOf"] if form != {"type": "null"}]
    if len(forms) == len(schema["anyOf"]):
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(forms) > 1:
        return {**rest, "anyOf": forms, "nullable": True}
    if "$ref" in forms[0]:
        return {**rest, "allOf": forms, "nullable": True}
    return {**forms[0], **rest, "nullable": True}
