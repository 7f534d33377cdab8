"""`run.py status`."""

from __future__ import annotations

from commands.cli import options
from commands.cli.options import prepare


def status(stack: options.Stack = "local") -> None:
    """Tell what is deployed, how it is, and what was decided last."""
    prepare(stack)
    from commands.status import show_status

    show_status(stack)
