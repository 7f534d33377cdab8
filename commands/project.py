"""What every command needs: where the project is, where it prints, and the stack it runs on."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from urllib.request import Request

    from serving.api.settings import ApiSettings

ROOT = Path(__file__).resolve().parent.parent
console = Console()
_told: set[str] = set()


def api_settings() -> ApiSettings:
    """Return the API's settings, from wherever we were called. Raises SettingsError."""
    from serving.api.settings import load_settings

    with contextlib.chdir(ROOT):  # the API runs there, and so do its paths
        return load_settings()


def open_own(address: str | Request, timeout: float) -> HTTPResponse:
    """`urlopen` for servers of this machine, past any proxy."""
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answer: HTTPResponse = opener.open(address, timeout=timeout)
    return answer


def on_stack(stack: str) -> None:
    """Activate the stack, with its secrets; only then import what works on it."""
    with console.status(f"Preparing stack {stack} ..."):
        from stacks.apply import use_stack

        overlooked = use_stack(stack)
        from steps.support.prediction_store import use_secret

        use_secret()
    _tell(stack, overlooked)
    _collect_garbage_again()


def _tell(stack: str, overlooked: list[str]) -> None:
    """Say, once a process, which variables set here change nothing: others run on the stack, too."""
    new = [name for name in overlooked if name not in _told]
    _told.update(new)
    if new:
        console.print(
            f"[yellow]Set here, but not as applied, which counts:[/] {', '.join(new)}. To change it for "
            f"everybody: python run.py stack apply {stack}",
            highlight=False,
            soft_wrap=True,
        )


def _collect_garbage_again() -> None:
    """Collect garbage, which run.py put off; what is there by now is never looked through again."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
