"""The reference of the HTTP API, from its OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from documentation.json_schema import Schema, bounds, default, kind, name_of
from documentation.tables import code, table
from serving.api.app import create_app
from serving.api.http.openapi import document_of
from serving.api.settings import ApiSettings

_METHODS = ("get", "put", "post", "delete", "patch")


def openapi_document() -> dict[str, Any]:
    """Return the document as a running API would give it at /openapi.json."""
    with TemporaryDirectory() as folder:
        nowhere = {name: Path(folder) / name for name in ("keys_file", "hook_keys_file")}
        return document_of(create_app(ApiSettings(**nowhere)))  # type: ignore[arg-type]


def http_api_page(document: Mapping[str, Any]) -> str:
    """Return every route and every shape of a document."""
    top = (
        f"# HTTP API\n\n{document['info']['description'].strip()}\n\nMade from the API's OpenAPI document, "
        "which is [here](openapi.json), at `/openapi.json` of a running API, and drawn at `/docs` of it.\n"
    )
    routes = [_route(path, method, operation, document) for path, method, operation in routes_of(document)]
    shapes = [
        _shape(name, schema, document) for name, schema in sorted(document["components"]["schemas"].items())
    ]
    return "\n".join([top, *routes, "## Shapes\n", *shapes])


def routes_of(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give every route: address, method, and what the document says of it."""
    for path, operations in document["paths"].items():
        yield from ((path, method, operations[method]) for method in _METHODS if method in operations)


def _route(path: str, method: str, operation: Mapping[str, Any], document: Schema) -> str:
    parts = [
        f"## {method.upper()} {path}\n",
        str(operation.get("description") or operation.get("summary", "")) + "\n",
    ]
    if operation.get("security"):
        parts.append(
            "Asks for a key, once there is one.\n" if {} in operation["security"] else "Asks for a key.\n"
        )
    if operation.get("parameters"):
        parts.append(
            table(
                ("parameter", "in", "type", "default", "must be", "meaning"), _parameters(operation, document)
            )
        )
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"Body ({media}): {_linked(body.get('schema', {}), document)}\n")
    parts.append(table(("status", "answer", "meaning"), _answers(operation, document)))
    return "\n".join(parts)


def _parameters(operation: Mapping[str, Any], document: Schema) -> Iterator[tuple[str, ...]]:
    for parameter in operation["parameters"]:
        schema = parameter["schema"]
        meaning = parameter.get("description") or schema.get("description", "")
        yield (
            code(parameter["name"]), parameter["in"], kind(schema, document), code(default(schema)),
            bounds(schema, document), meaning,
        )  # fmt: skip


def _answers(operation: Mapping[str, Any], document: Schema) -> Iterator[tuple[str, ...]]:
    for status, answer in operation["responses"].items():
        bodies = [_linked(body.get("schema", {}), document) for body in answer.get("content", {}).values()]
        yield status, ", ".join(bodies), answer.get("description", "")


def _shape(name: str, schema: Schema, document: Schema) -> str:
    needed = schema.get("required", ())
    rows = [
        (
            code(key), _linked(field, document), code(default(field)), "yes" if key in needed else "",
            bounds(field, document), field.get("description", ""),
        )
        for key, field in schema.get("properties", {}).items()
    ]  # fmt: skip
    about = " ".join(str(schema.get("description", "")).split())
    head = ("field", "type", "default", "needed", "must be", "meaning")
    return f"### {name}\n\n{about}\n\n" + (table(head, rows) if rows else kind(schema, document) + "\n")


def _linked(schema: Schema, document: Schema) -> str:
    """Return the type, as a link if it is a shape of this page."""
    inner = schema.get("items", {}) if schema.get("type") == "array" else schema
    name = name_of(inner)
    if not name:
        return kind(schema, document)
    return ("list of " if inner is not schema else "") + f"[{name}](#{name.lower()})"
