"""`run.py status`."""

from __future__ import annotations

from commands.arguments import options
from commands.arguments.options import prepare


def status(stack: options.Stack = "local") -> None:
    """Tell what is deployed, how it is, and what was decided last."""
    prepare(stack)
    from commands.status import show_status

    show_status(stack)
