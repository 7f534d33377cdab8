"""Whether predictions can be made; asked often, looked up once a second."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from accidents.predictions.prediction_log import PredictionLog, PredictionLogError
from serving.api.errors import ApiError
from serving.api.operations.metrics import READY
from serving.api.predicting.model_servers import ModelServers
from serving.api.predicting.predict import model_of
from serving.api.predicting.rollout import Rollout

_LOG = logging.getLogger(__name__)
_FRESH = 1.0  # seconds
_PATIENCE = 1.5  # seconds for the log, whose own for a lock is shorter


class Readiness:
    """The answer of /health/ready (ReadyAnswer)."""

    def __init__(self, server: ModelServers, log: PredictionLog, rollout: Rollout) -> None:
        self._server, self._log, self._rollout = server, log, rollout
        self._checked, self._answer = -_FRESH, dict[str, Any]()
        self._lock = asyncio.Lock()
        self._trial: asyncio.Task[None] | None = None
        self._logged = ""  # the last fault of the prediction log, which whoever asks is not told

    async def answer(self) -> dict[str, Any]:
        """As of at most a second ago."""
        async with self._lock:
            if time.monotonic() - self._checked >= _FRESH:
                self._answer = await self._check()
                self._checked = time.monotonic()
                READY.set(self._answer["ready"])
            return self._answer

    async def _check(self) -> dict[str, Any]:
        log, (server, facts) = await asyncio.gather(self._log_fault(), self._model_state())
        return {
            "ready": log is None and server == "ready",
            "model_server": server,
            "prediction_log": "ready" if log is None else "unavailable",
            "model": facts,
            "rollout": self._rollout.to_list(),
            "reasons": [reason for reason in (_MODEL_FAULTS.get(server), log) if reason],
        }

    async def _model_state(self) -> tuple[str, dict[str, Any] | None]:
        try:
            facts = await self._server.check()
        except ApiError as error:
            return "mismatch" if error.code == "model_mismatch" else "unavailable", None
        return ("mismatch" if self._server.mismatch else "ready"), model_of(facts)

    async def _log_fault(self) -> str | None:
        """Why no prediction can be written, and what to do. One that hangs is not tried beside itself."""
        if self._trial is None:
            self._trial = asyncio.create_task(asyncio.to_thread(self._log.try_write))
        done, _ = await asyncio.wait({self._trial}, timeout=_PATIENCE)
        if not done:
            return (
                f"The prediction log does not answer within {_PATIENCE} s: is the database busy, or hanging?"
            )
        trial, self._trial = self._trial, None
        error = trial.exception()
        if error is None:
            self._logged = ""
            return None
        if not isinstance(error, PredictionLogError):
            raise error
        if str(error) != self._logged:  # once, not at each look
            _LOG.error("%s", error)
        self._logged = str(error)
        return f"No prediction can be logged: the API's own log says why. {error.remedy}".rstrip()


_MODEL_FAULTS = {
    "unavailable": "The model server does not answer, or has not loaded the model: python run.py status.",
    "mismatch": "The API and the model do not fit together: deploy the model again, start the API again.",
}
