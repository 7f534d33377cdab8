"""Fixtures of the stacks' tests: an isolated store, and stack files of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]

StackWriter = Callable[..., Path]


@pytest.fixture
def stack_file(tmp_path: Path) -> StackWriter:
    """Write a stack file with these components (and the two every stack has); return its folder."""

    def write(name: str, extra: dict[str, Any] | None = None, **components: dict[str, Any]) -> Path:
        return write_stack(tmp_path, name, extra, **components)

    return write


def add_by_hand(stack: str, component: str) -> None:
    """Add a data validator of no file to a stack, as others may by `zenml`."""
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.models import StackUpdate

    client, kind = Client(), StackComponentType.DATA_VALIDATOR
    added = client.create_stack_component(component, "evidently_modern", kind, {})
    known = client.get_stack(stack)
    has = {one: [each.id for each in several] for one, several in known.components.items()}
    client.zen_store.update_stack(known.id, StackUpdate(components={**has, kind: [added.id]}))


def write_stack(
    folder: Path, name: str, extra: dict[str, Any] | None = None, **components: dict[str, Any]
) -> Path:
    """The same into a folder."""
    needed = {"orchestrator": {"flavor": "local"}, "artifact_store": {"flavor": "local"}}
    content = {"name": name, "description": "A test.", "components": needed | components} | (extra or {})
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder
