"""Strict settings from YAML: what is wrong is told plainly, with the nearest valid key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from accidents.errors import SettingsError
from accidents.nearest import nearest

S = TypeVar("S", bound=BaseModel)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML mapping from a file; SettingsError if there is none or it cannot be read."""
    try:
        # YAML 1.2, as DVC reads it: in PyYAML's 1.1 the key `on` is the boolean true.
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist.") from None
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise SettingsError(f"{path} cannot be read as YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold keys and values, not a {type(content).__name__}.")
    return content


def parse(model: type[S], content: Mapping[str, Any], where: str) -> S:
    """Check settings against a pydantic model, telling every mistake in one plain message."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_explain(model, dict(mistake)) for mistake in error.errors()]
        raise SettingsError(f"{where}: " + "; ".join(lines) + ".") from None


def _explain(model: type[BaseModel], error: dict[str, Any]) -> str:
    """One line for one mistake: where it is, what is wrong, and the nearest valid key if it was a typo."""
    location = error["loc"]
    name = ".".join(str(part) for part in location)
    if not location:
        return str(error["msg"].removeprefix("Value error, "))
    if error["type"] != "extra_forbidden":
        # Our own validators say what they got; a whole mapping would only repeat the file.
        got = "" if error["type"] == "value_error" else f" (got {error['input']!r})"
        return f"`{name}` {_decapitalise(error['msg'].removeprefix('Value error, '))}{got}"
    valid = sorted(_fields_at(model, location[:-1]))
    near = nearest(str(location[-1]), valid)
    hint = f"did you mean `{near}`?" if near else f"valid keys here: {', '.join(valid)}"
    return f"unknown key `{name}`, {hint}"


def _decapitalise(text: str) -> str:
    return text[:1].lower() + text[1:]


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> set[str]:
    """Names of the fields of the model found by walking `location` down from `model`."""
    current: type[BaseModel] = model
    for part in location:
        field = current.model_fields.get(str(part))
        if field is None:
            continue  # an index into a list, or a member of a union
        inner = _models_in(field.annotation)
        if inner:
            current = inner[0]
    return set(current.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
