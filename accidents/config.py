"""Strict settings from YAML: what is wrong is told plainly, with the nearest valid key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from accidents.errors import SettingsError
from accidents.strict import explain

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
        lines = [explain(model, dict(mistake), show_input=True) for mistake in error.errors()]
        raise SettingsError(f"{where}: " + "; ".join(lines) + ".") from None
