"""Try what a stack file asks for: installed, in the store, and doing its work. Nothing is left behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accidents.errors import AccidentsError
from stacks.component_round_trips import explanation, probe_of
from stacks.component_validation import wanted_component
from stacks.definition import STACKS_FOLDER, StackDefinition, read_stack
from stacks.errors import StackError
from stacks.flavors import component_type, find_flavor, require_integration
from stacks.state import file_digest, state_of
from stacks.wanted_connector import require_connector, wanted_connector
from stacks.zenml_store import find_stack, is_embedded, opened_store

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.enums import StackComponentType
    from zenml.models import ComponentResponse, StackResponse

_UNUSABLE = "Is the database whole, and may this user write it?"
# A server that does not answer is told in seconds; by themselves MLflow and S3's client try for minutes.
_IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "AWS_MAX_ATTEMPTS": "1",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was tried."""

    what: str
    well: bool
    words: str  # what was done, or what is wrong and what to do


def check_stack(name: str, folder: Path = STACKS_FOLDER) -> Iterator[Finding]:
    """Try one thing after another, the cheap ones first; what needs a failed one is left out."""
    read = tried("file", lambda: read_stack(name, folder).description, "")
    yield read
    if not read.well:
        return
    definition = read_stack(name, folder)
    with ExitStack() as held:
        opened = tried("store", lambda: str(held.enter_context(opened_store()).zen_store.url), _UNUSABLE)
        yield opened
        if not opened.well:
            return
        from zenml.client import Client

        client = Client()
        stack = find_stack(client, name)
        applied = _is_applied(stack, name, folder)
        # Who has applied it to a shared store had the secrets; who runs on it needs none.
        with_secrets = is_embedded(client) or not applied.well
        fits_of = _flavor_fits if with_secrets else _is_installed
        fits = [fits_of(client, definition, kind) for kind in definition.components]
        if definition.connector:
            fits.append(_connector_fits(client, definition, with_secrets))
        yield from fits
        yield applied
    # Servers that do not answer are waited for: meanwhile other processes have the store.
    if stack is not None and all(finding.well for finding in fits):
        with _active(stack):
            yield from (_component_works(*item) for item in stack.components.items())


def tried(what: str, run: Callable[[], str], remedy: str) -> Finding:
    """Return what `run` says it did, or why it could not, and the remedy if the error has none of its own."""
    try:
        return Finding(what, True, run())
    except (StackError, AccidentsError) as error:  # says itself what to do
        return Finding(what, False, str(error))
    except Exception as error:  # whatever a component's library raises
        return Finding(what, False, explanation(error, remedy))


def _flavor_fits(client: Client, definition: StackDefinition, kind: str) -> Finding:
    """Whether the flavor is there, takes these settings, and can be imported."""

    def run() -> str:
        wanted = wanted_component(client, definition, kind)
        wanted.check_against(None)
        return f"flavor {wanted.flavor.name} is installed and takes these settings"

    return tried(kind, run, "Correct the file, or install what is missing.")


def _is_installed(client: Client, definition: StackDefinition, kind: str) -> Finding:
    """Whether the flavor can be imported here."""

    def run() -> str:
        name, where = definition.components[kind].flavor, f"component {kind} of stack {definition.name}"
        require_integration(find_flavor(client, component_type(kind, definition), name, where), where)
        return f"flavor {name} is installed, its settings are as applied"

    return tried(kind, run, "Install what is missing.")


def _connector_fits(client: Client, definition: StackDefinition, has_secrets: bool) -> Finding:
    """Whether the connector can be imported, and, where its secrets are to be had, takes these settings."""

    def run() -> str:
        kind = require_connector(definition)
        wanted = wanted_connector(client, definition) if has_secrets else None
        takes = f" and method {wanted.auth_method} takes these settings" if wanted else ""
        return f"type {kind.connector_type} is installed{takes}"

    return tried("connector", run, "Correct the file, or install what is missing.")


def _is_applied(stack: StackResponse | None, name: str, folder: Path) -> Finding:
    state = state_of(stack, file_digest(name, folder))
    remedy = "" if state == "applied" else f": python run.py stack apply {name}"
    return Finding("in the store", state == "applied", f"{state}{remedy}")


@contextmanager
def _active(stack: StackResponse) -> Iterator[None]:
    """Have it the active stack for this process alone: components look up one another there."""
    before = dict(os.environ)
    os.environ.update({**_IMPATIENT, **before, "ZENML_ACTIVE_STACK_ID": str(stack.id)})
    try:
        yield
    finally:  # MLflow leaves addresses and passwords there, too
        os.environ.clear()
        os.environ.update(before)


def _component_works(kind: StackComponentType, components: Sequence[ComponentResponse]) -> Finding:
    from zenml.stack import StackComponent

    (response,), probe = components, probe_of(kind.value)
    made = f"{kind.value} {response.name}"
    return tried(made, lambda: probe.run(StackComponent.from_model(response)), probe.remedy)
