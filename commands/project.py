"""What every command needs: where the project is, where it prints, and the stack it runs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
console = Console()


def on_stack(stack: str) -> Any:
    """Apply and activate the stack; return the registry of model versions that works on it."""
    with console.status(f"Preparing stack {stack} ..."):
        from stacks.apply import apply_stack

        apply_stack(stack)
        from steps import registry
    return registry
