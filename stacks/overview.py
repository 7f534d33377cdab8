"""All stacks there is a file for, and how they stand in ZenML's store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stacks.definition import STACKS_FOLDER, read_stack, stack_names
from stacks.errors import StackError
from stacks.state import file_digest, state_of
from stacks.zenml_store import find_stack, opened_store

if TYPE_CHECKING:
    from zenml.client import Client


@dataclass(frozen=True)
class StackLine:
    """One stack: what its file has, and what the store has of it."""

    name: str
    components: dict[str, str]  # type -> flavor
    active: bool
    state: str  # applied, changed since, not applied; or what is wrong with the file


def list_stacks(folder: Path = STACKS_FOLDER) -> list[StackLine]:
    """Every stack file, also one that cannot be read. Raises StackError if the store cannot be opened."""
    with opened_store() as client:
        return [_line(client, name, folder) for name in stack_names(folder)]


def _line(client: Client, name: str, folder: Path) -> StackLine:
    stack = find_stack(client, name)
    active = stack is not None and stack.id == client.active_stack_model.id
    try:
        definition = read_stack(name, folder)
        components = {kind: component.flavor for kind, component in definition.components.items()}
        return StackLine(name, components, active, state_of(stack, file_digest(name, folder)))
    except StackError as error:
        return StackLine(name, {}, active, str(error))
