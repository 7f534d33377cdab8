"""What every setting and record is, and in words what is wrong with one.

Needs pydantic alone: the API has no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from accidents.did_you_mean import nearest


class Strict(BaseModel):
    """Frozen, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def explain(model: type[BaseModel], mistake: Mapping[str, Any], show_input: bool = False) -> str:
    """One line for a mistake of pydantic's: where it is, what is wrong, the nearest key if it was a typo.

    Parameters
    ----------
    show_input : whether the value is repeated, which may be a secret.
    """
    location, message = mistake["loc"], mistake["msg"].removeprefix("Value error, ")
    name = ".".join(str(part) for part in location)
    if not location:
        return str(message)
    if mistake["type"] == "extra_forbidden":
        return unknown_key(name, str(location[-1]), fields_at(model, location[:-1]))
    # Our own validators say what they got; a whole mapping would only repeat the file.
    got = f" (got {mistake['input']!r})" if show_input and mistake["type"] != "value_error" else ""
    return f"`{name}` {message[:1].lower()}{message[1:]}{got}"


def unknown_key(name: str, key: str, valid: Collection[str]) -> str:
    """Say that there is no such key, and which is meant: `name` as written, `key` without where it is."""
    near = nearest(key, valid)
    hint = f"did you mean `{near}`?" if near else f"valid keys here: {', '.join(sorted(valid))}"
    return f"unknown key `{name}`, {hint}"


def fields_at(model: type[BaseModel], location: Iterable[int | str]) -> list[str]:
    """Names of the fields of the model that `location` leads to from `model`."""
    current = model
    for part in location:
        field = current.model_fields.get(str(part))  # None: an index into a list, a key, a member of a union
        inner = next(iter(_models_in(field.annotation)), None) if field else None
        current = inner or current
    return list(current.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
