"""Where prediction log and monitoring history are, for steps: an address may hold a password.

It comes from the environment, never as a parameter of a step, which ZenML would show in its dashboard.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from accidents.errors import SettingsError
from accidents.predictions.history import History
from accidents.predictions.log import PredictionLog

VARIABLE = "ACCIDENTS_DATABASE_URL"


def database_url() -> str:
    """The address. Raises SettingsError if the environment does not say it."""
    try:
        return os.environ[VARIABLE]
    except KeyError:
        raise SettingsError(
            f"{VARIABLE} is not set, so neither predictions nor history can be found. run.py sets it from "
            "configs/api.yaml; where steps run elsewhere, give it to them (as a secret)."
        ) from None


@contextmanager
def opened_log() -> Iterator[PredictionLog]:
    """The prediction log. Whoever reads does not make it: a wrong address would be an empty log."""
    log = PredictionLog(database_url())
    try:
        yield log
    finally:
        log.close()


@contextmanager
def opened_history() -> Iterator[History]:
    """The monitoring history; it is made, or mended if tables are gone, with what is first written."""
    history = History(database_url())
    try:
        yield history
    finally:
        history.close()
