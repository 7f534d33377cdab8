"""Whether predictions can be made; asked often, looked up once a second."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from accidents.prediction_log import PredictionLog, PredictionLogError
from serving.api.errors import ApiError
from serving.api.metrics import READY
from serving.api.model_server import ModelServer
from serving.api.predicting import model_of

_FRESH = 1.0  # seconds
_PATIENCE = 1.0  # seconds for the log


class Readiness:
    """The answer of /health/ready (ReadyAnswer)."""

    def __init__(self, server: ModelServer, log: PredictionLog) -> None:
        self._server, self._log = server, log
        self._checked, self._answer = -_FRESH, dict[str, Any]()
        self._lock = asyncio.Lock()

    async def answer(self) -> dict[str, Any]:
        """As of at most a second ago."""
        async with self._lock:
            if time.monotonic() - self._checked >= _FRESH:
                self._answer = await self._check()
                self._checked = time.monotonic()
                READY.set(self._answer["ready"])
            return self._answer

    async def _check(self) -> dict[str, Any]:
        log, (server, facts) = await asyncio.gather(self._log_state(), self._model_state())
        return {
            "ready": log == server == "ready",
            "model_server": server,
            "prediction_log": log,
            "model": facts,
        }

    async def _model_state(self) -> tuple[str, dict[str, Any] | None]:
        try:
            facts = await self._server.check()
        except ApiError as error:
            return "mismatch" if error.code == "model_mismatch" else "unavailable", None
        return ("mismatch" if self._server.mismatch else "ready"), model_of(facts)

    async def _log_state(self) -> str:
        try:
            async with asyncio.timeout(_PATIENCE):
                await asyncio.to_thread(self._log.check)
        except (PredictionLogError, TimeoutError):
            return "unavailable"
        return "ready"
