"""The reference of the command line: what its own `--help` says, of every command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from commands.arguments.app import build

PROGRAM = "run.py"
_WIDTH = 88
_TOP = """# Command line

What `python run.py --help` says, and `--help` behind each command. Made from the program when this
site was built.

"""


def command_line_page() -> str:
    """Return the help of every command, in the order in which the program lists them."""
    parts = [f"## {name}\n\n```text\n{text}\n```\n" for name, text in helps()]
    return _TOP + "\n".join(parts)


def helps() -> Iterator[tuple[str, str]]:
    """Give each command as it is typed behind `python`, with its help."""
    root: Any = typer.main.get_command(build())
    context = root.context_class(root, info_name=PROGRAM, terminal_width=_WIDTH, max_content_width=_WIDTH)
    yield from _helps(root, context)


def _helps(command: Any, context: Any) -> Iterator[tuple[str, str]]:
    yield context.command_path, command.get_help(context)
    for name, inner in getattr(command, "commands", {}).items():
        yield from _helps(inner, inner.context_class(inner, info_name=name, parent=context))
