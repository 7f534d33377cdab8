"""`run.py stack`: what stacks there are, and what becomes of them in ZenML's store."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from accidents.predictions.database_tables import NoDatabaseError
from commands.project import console
from stacks.errors import StackError

if TYPE_CHECKING:
    from stacks.check import Finding


def list_all() -> None:
    """Print every stack file, its components, and how it stands in the store."""
    from stacks.overview import list_stacks

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in ("stack", "active", "in the store", "components"):
        table.add_column(head, overflow="fold")
    for line in list_stacks():
        components = ", ".join(f"{kind} {flavor}" for kind, flavor in line.components.items())
        table.add_row(line.name, "yes" if line.active else "", escape(line.state), components)
    console.print(table)


def apply(name: str) -> None:
    """Apply a stack file, and say what that changed."""
    from stacks.apply import apply_stack

    summary = apply_stack(name, activate=False)
    for change in summary.changes:
        console.print(change, highlight=False, markup=False, soft_wrap=True)
    console.print(f"Stack {name} is applied." if summary.changes else f"Stack {name}: nothing has changed.")


def check(name: str) -> None:
    """Try everything the stack asks for, a line each. Raises StackError at the end if something is wrong."""
    from commands.dask_cluster import check_cluster
    from stacks.check import check_stack

    failed = 0
    for finding in chain(check_stack(name), check_cluster(name), _prediction_log(name)):
        failed += not finding.well
        mark = "[green]ok   [/]" if finding.well else "[red]wrong[/]"
        console.print(f"{mark} {escape(f'{finding.what}: {finding.words}')}", highlight=False, soft_wrap=True)
    if failed:
        raise StackError(f"Stack {name} cannot be used as it is: {failed} of what was tried is wrong, above.")


def _prediction_log(stack: str) -> Iterator[Finding]:
    """Open it where this command would, and steps do."""
    from stacks.check import tried
    from stacks.definition import read_stack

    try:
        read_stack(stack)
    except StackError:  # told as the file's fault
        return

    remedy = "Does ZenML answer, which may know where it is?"
    yield tried("prediction log", lambda: _open_prediction_log(stack), remedy)


def _open_prediction_log(stack: str) -> str:
    """Return how it is; one that is yet to be made is no fault."""
    from accidents.predictions.store import PredictionStore
    from commands.prediction_store import opened_store, store_address
    from commands.project import use_prediction_log

    use_prediction_log(stack)
    try:
        with opened_store() as store:
            return f"{store.place} answers, and is of this version"
    except NoDatabaseError:
        if PredictionStore(store_address()).shared:
            raise
        return "a file of this machine, not made yet"


def teardown(name: str, sure: bool) -> None:
    """Take a stack out of ZenML's store, and say what went and what stayed."""
    from stacks.teardown import teardown_stack

    for line in teardown_stack(name, sure):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"Runs, artifacts and models stay. Back again: python run.py stack apply {name}")
