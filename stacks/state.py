"""Whether a stack in ZenML's store is what its file says: a digest of the file is kept with the stack."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stacks.definition import STACKS_FOLDER, read_raw
from stacks.errors import NotAppliedError, StackError
from stacks.placeholders import fill, set_here
from stacks.secrets import is_reference
from stacks.zenml_store import find_stack

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.models import ComponentResponse, StackResponse

LABEL = "file"
State = Literal["applied", "changed since", "not applied"]


def file_digest(name: str, folder: Path = STACKS_FOLDER) -> str:
    """SHA-256 of what a stack file says; comments, and what `{root}` and `${NAME}` are here, do not count."""
    content = json.dumps(read_raw(name, folder), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def state_of(stack: StackResponse | None, digest: str) -> State:
    """How a stack of the store, if it is there, stands to a file of this digest."""
    if stack is None:
        return "not applied"
    labels: Mapping[str, object] = stack.labels or {}
    return "applied" if labels.get(LABEL) == digest else "changed since"


def applied_stack(client: Client, name: str) -> StackResponse:
    """Return the stack as it is in the store. Raises NotAppliedError if it is not there."""
    stack = find_stack(client, name)
    if stack is None:
        raise NotAppliedError(
            f"Stack {name} has not been applied to ZenML's store at {client.zen_store.url}. "
            f"Apply it: python run.py stack apply {name}"
        )
    return stack


def refuse_unless_applied(client: Client, name: str, folder: Path = STACKS_FOLDER) -> StackResponse:
    """Return the stack as it is in the store.

    Raises
    ------
    StackError
        If it is not there (then a NotAppliedError), or is not what its file says now.
    """
    stack = applied_stack(client, name)
    if state_of(stack, file_digest(name, folder)) != "applied":
        raise StackError(
            f"{folder / name}.yaml is not what was applied to ZenML's store at {client.zen_store.url}, where "
            f"others may run on it. Take the change back, or apply it: python run.py stack apply {name}"
        )
    return stack


def overlooked(stack: StackResponse, name: str, folder: Path = STACKS_FOLDER) -> list[str]:
    """Return the variables set here that would make a component another one than was applied, which counts.

    Secrets, which only the store knows, what is within a setting, and components that the file does not have
    are not compared.
    """
    written = read_raw(name, folder)["components"]
    variables = {
        name
        for kind, (component, *_) in stack.components.items()
        if kind.value in written  # others may have added one
        for text, applied in _texts_with_applied(written[kind.value], component)
        for name in set_here(text)
        if _differs(text, applied)
    }
    return sorted(variables)


def _texts_with_applied(
    written: Mapping[str, Any], component: ComponentResponse
) -> Iterator[tuple[str, object]]:
    """Yield flavor and settings as a file has them, each with what the store has."""
    yield written["flavor"], component.flavor_name
    for key, text in written.get("config", {}).items():
        if isinstance(text, str):
            yield text, component.configuration.get(key)


def _differs(text: str, applied: object) -> bool:
    """Whether a text of the file says something else here; not where another variable is missing."""
    try:
        filled = fill(text, "", here=False)
    except StackError:
        return False
    return isinstance(applied, str) and not is_reference(applied) and applied != filled
