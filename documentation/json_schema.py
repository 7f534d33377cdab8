"""JSON schemas, as pydantic makes them, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "pattern": "`{}`",
}


def resolved(schema: Schema, whole: Schema) -> Schema:
    """Return what a reference refers to, the words beside it over it; any other schema as it is."""
    for holder in (schema.get("allOf", ()), _forms(schema)):
        if len(holder) == 1 and "$ref" in holder[0]:
            schema = {
                **holder[0],
                **{key: schema[key] for key in ("default", "description") if key in schema},
            }
    if "$ref" not in schema:
        return schema
    definition: Any = whole
    for part in schema["$ref"].removeprefix("#/").split("/"):
        definition = definition[part]
    return {**definition, **{key: value for key, value in schema.items() if key != "$ref"}}


def name_of(schema: Schema) -> str:
    """Return the name of the one model that a schema refers to, "" if it refers to none."""
    references = [
        part["$ref"] for part in (schema, *schema.get("allOf", ()), *_forms(schema)) if "$ref" in part
    ]
    return references[0].rpartition("/")[2] if len(references) == 1 else ""


def kind(schema: Schema, whole: Schema) -> str:
    """Return the type in words."""
    if len(_forms(schema)) > 1:
        return " or ".join(kind(form, whole) for form in _forms(schema))
    null = " or null" if _nullable(schema) else ""
    schema = resolved(_forms(schema)[0] if _forms(schema) else schema, whole)
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"]) + null
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}), whole)}" + null
    if schema.get("type") == "object" and "properties" not in schema:
        inner = schema.get("additionalProperties")
        return (
            f"keys with {kind(inner, whole)}" if isinstance(inner, Mapping) and inner else "keys and values"
        ) + null
    return str(schema.get("title") if "properties" in schema else schema.get("type", "any")) + null


def bounds(schema: Schema, whole: Schema) -> str:
    """Return what a value must keep to, in words."""
    forms = [resolved(form, whole) for form in _forms(schema)] or [resolved(schema, whole)]
    return ", ".join(
        words.format(form[key]) for form in forms for key, words in _BOUNDS.items() if key in form
    )


def default(schema: Schema) -> str:
    """Return the default as JSON, "" where there is none."""
    return json.dumps(schema["default"], ensure_ascii=False) if "default" in schema else ""


def sections(schema: Schema, whole: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Give a model and all models within it, each with its dotted path."""
    yield path, schema
    for key, field in schema.get("properties", {}).items():
        below = f"{path}.{key}" if path else key
        inner = resolved(field, whole)
        if "properties" in inner:
            yield from sections(inner, whole, below)
        for held, suffix in ((inner.get("items"), "[]"), (inner.get("additionalProperties"), ".NAME")):
            content = resolved(held, whole) if isinstance(held, Mapping) else {}
            if "properties" in content:
                yield from sections(content, whole, below + suffix)


def _forms(schema: Schema) -> list[Schema]:
    return [form for form in schema.get("anyOf", ()) if form.get("type") != "null"]


def _nullable(schema: Schema) -> bool:
    return bool(schema.get("nullable")) or any(form.get("type") == "null" for form in schema.get("anyOf", ()))
