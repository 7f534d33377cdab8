"""What every command needs: where the project is, where it prints, and the stack it runs on."""

from __future__ import annotations

import contextlib
import gc
import os
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
_no_prediction_log: list[str] = []  # why the stack in use has none that this process could open


def api_settings() -> ApiSettings:
    """Return the API's settings, from wherever we were called. Raises SettingsError."""
    from serving.api.settings import load_settings

    with contextlib.chdir(ROOT):  # the API runs there, and so do its paths
        return load_settings()


class NoHttpError(OSError):
    """What listens at an address answers, but not as HTTP says."""


def open_own(address: str | Request, timeout: float) -> HTTPResponse:
    """`urlopen` for servers of this machine, past any proxy.

    Raises OSError: HTTPError for an answer that refuses, NoHttpError for one that is no HTTP.
    """
    import urllib.request
    from http.client import HTTPException

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        answer: HTTPResponse = opener.open(address, timeout=timeout)
    except HTTPException as error:
        raise NoHttpError(f"what listens there answers no HTTP ({type(error).__name__})") from error
    return answer


def on_stack(stack: str) -> None:
    """Activate the stack, with its prediction log; only then import what works on it."""
    with console.status(f"Preparing stack {stack} ..."):
        from stacks.apply import use_stack

        overlooked = use_stack(stack)
        _look_for_prediction_log(stack)
    _tell(stack, overlooked)
    _collect_garbage_again()


def use_prediction_log(stack: str | None = None) -> None:
    """Have this process, and what it starts, go where the steps of a stack (None: the active one) do.

    The shell says where, else ZenML's secret, else the stack's file; else configs/api.yaml, where asked.
    Raises StackError if the file does not say it in full.
    """
    from accidents.predictions.store import VARIABLE
    from stacks.definition import read_stack, stack_names
    from stacks.errors import StackError
    from steps.support.prediction_store import SECRET_COMMAND, use_secret

    use_secret()
    if os.environ.get(VARIABLE):
        return
    if stack is None:
        from zenml.client import Client

        stack = Client().active_stack_model.name
    if stack not in stack_names():
        return
    definition = read_stack(stack)
    try:
        address = definition.prediction_log()
    except StackError as error:
        raise StackError(f"{error} Or have ZenML tell all who use the stack: {SECRET_COMMAND}") from error
    if address:
        os.environ[VARIABLE] = address


def require_prediction_log() -> None:
    """Raise PredictionLogError where the stack in use has a prediction log, and nothing here says where."""
    from accidents.predictions.database_tables import PredictionLogError
    from accidents.predictions.store import VARIABLE

    if _no_prediction_log and not os.environ.get(VARIABLE):
        raise PredictionLogError(_no_prediction_log[0])


def _look_for_prediction_log(stack: str) -> None:
    """Use it if it is known where it is; else `require_prediction_log` says so: few commands open it."""
    from stacks.errors import StackError

    _no_prediction_log.clear()
    try:
        use_prediction_log(stack)
    except StackError as error:
        _no_prediction_log.append(str(error))


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
