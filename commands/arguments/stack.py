"""`run.py stack list|apply|check|teardown`."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.arguments.options import prepare_store, stack_files

Name = Annotated[str, typer.Argument(help="A file in stacks/.", autocompletion=stack_files, metavar="NAME")]

stack = typer.Typer(name="stack", help="List, apply, check and take away ZenML stacks.")


@stack.command("list")
def list_stacks() -> None:
    """List the stacks, which is active, and which are applied."""
    prepare_store()
    from commands import stack as work

    work.list_all()


@stack.command()
def apply(name: Name) -> None:
    """Make ZenML's store agree with the stack's file.

    A second time changes nothing. On a store of this machine every command does it by itself; on a shared
    server only this one does.
    """
    prepare_store()
    from commands import stack as work

    work.apply(name)


@stack.command()
def check(name: Name) -> None:
    """Try what the stack asks for, and tell what is wrong.

    File, flavors and their packages, ZenML's store, and each component at work. Nothing is changed.
    """
    prepare_store()
    from commands import stack as work

    work.check(name)


@stack.command()
def teardown(
    name: Name,
    yes: Annotated[
        bool, typer.Option("--yes", help="Also if it is active, or others may serve with it.")
    ] = False,
) -> None:
    """Remove the stack from ZenML's store; data stays.

    With it go its components that no other stack uses, but for an artifact store that something lies in.
    """
    prepare_store()
    from commands import stack as work

    work.teardown(name, yes)
