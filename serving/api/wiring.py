"""What the running API consists of, made from the settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import Request

from accidents.predictions.database_tables import PredictionLogError
from accidents.predictions.store import PredictionStore
from accidents.rollout.traffic_split import CHAMPION, Role
from serving.api.errors import ApiError
from serving.api.http.limits import Rates
from serving.api.http.project_identity import identity_of
from serving.api.operations.hooks import Hook
from serving.api.operations.keys import KeyRing
from serving.api.operations.keys_in_database import read_keys, watch_keys
from serving.api.operations.metrics import LOG_ROWS, LOG_SECONDS
from serving.api.predicting.batching import Batcher
from serving.api.predicting.counting import Counting
from serving.api.predicting.labelling import Labeller
from serving.api.predicting.log_writer import LogWriter
from serving.api.predicting.model_server import ModelServer
from serving.api.predicting.model_servers import ModelServers
from serving.api.predicting.predict import Predictor
from serving.api.predicting.rollout import Rollout
from serving.api.predicting.shadow import ShadowQueue
from serving.api.readiness import Readiness
from serving.api.settings import ApiSettings

_LOG = logging.getLogger(__name__)
_MONTHS_EVERY = 3600.0  # seconds
_SETTLE_EVERY = 10.0


@dataclass(frozen=True)
class Parts:
    """Found by the routes at `request.app.state.parts`."""

    settings: ApiSettings
    rates: Rates
    predictor: Predictor
    labeller: Labeller
    counting: Counting
    readiness: Readiness
    hook: Hook
    identity: str

    async def charge(self, request: Request, accidents: int, counted: int) -> None:
        """Count a request of so many accidents, some of which have been counted before.

        Raises ApiError: 429, or 422 for more than there may be in a whole minute.
        """
        most = self.settings.accidents_per_minute
        if accidents > most:
            raise ApiError(
                "invalid",
                f"This request counts as {accidents:,} accidents (1,000 bytes count as one), and in a minute "
                f"you may send {most:,}: send it in parts.",
            )
        if accidents > counted:
            await self.rates.charge(request.state.charged, accidents - counted)


@asynccontextmanager
async def running(
    settings: ApiSettings, store: PredictionStore, rates: Rates, rings: Sequence[KeyRing]
) -> AsyncIterator[Parts]:
    """Start what runs beside the routes, and stop it at the end; it closes the store.

    Raises PredictionLogError, or KeysError.
    """
    server, batcher = _connect(settings, CHAMPION)
    log = store.log
    writer = LogWriter(log, on_commit=_count_commit)
    alone = settings.processes == 1 and not store.shared
    counting = Counting(newest=None if alone else log.last_of_sessions)
    rollout = Rollout(server, partial(_connect, settings))
    shadow = ShadowQueue(rollout, writer)
    predictor = Predictor(server, batcher, writer, counting, settings.reasons_count, rollout, shadow)
    await writer.start()
    await read_keys(rings)
    watches = [
        asyncio.create_task(watch)
        for watch in (
            rollout.watch(settings.routes_every),
            watch_keys(rings),
            _make_months(store),
            _settle(counting),
        )
    ]
    try:
        hook = Hook(
            settings.hook_command, settings.hook_commands, settings.hook_pause, settings.hook_log, store
        )
        readiness, labeller = Readiness(server, log, rollout), Labeller(log)
        yield Parts(
            settings, rates, predictor, labeller, counting, readiness, hook, identity_of(settings)
        )  # fmt: skip
    finally:
        for watch in watches:
            watch.cancel()
        await shadow.stop()
        rollout.close()
        server.stop()
        await writer.stop()
        store.close()


async def _settle(counting: Counting) -> None:
    """Count forms that have been filled in, also where nobody asks for the metrics, until cancelled."""
    while True:
        await asyncio.sleep(_SETTLE_EVERY)
        await counting.settle_among_others()


async def _make_months(store: PredictionStore) -> None:
    """Look now and every hour whether a month is about to begin, until cancelled."""
    while store.shared:
        try:
            await asyncio.to_thread(store.make_months)
        except PredictionLogError as error:
            _LOG.warning("The months of the prediction log were not made: %s", error)
        await asyncio.sleep(_MONTHS_EVERY)


def _connect(
    settings: ApiSettings, role: Role, model: str | None = None, url: str = ""
) -> tuple[ModelServers, Batcher]:
    """Return a model of the model servers, or of another one, and who brings accidents together for it."""
    urls = [url] if url else [str(address) for address in settings.model_server]
    timeout = settings.model_timeout
    patience = timeout * min(2, len(urls))  # of two, one that hangs leaves the other its time
    server = ModelServers(
        [ModelServer(address, settings.model_name, timeout, role, model) for address in urls]
    )
    return server, Batcher(server, settings.rows_per_call, settings.waiting, patience, role)


def _count_commit(records: int, seconds: float) -> None:
    LOG_ROWS.observe(records)
    LOG_SECONDS.observe(seconds)
