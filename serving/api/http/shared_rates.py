"""Rates that all APIs of a store agree on."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from limits import RateLimitItemPerMinute

from accidents.predictions.database_tables import PredictionLogError
from accidents.predictions.rate_counts import RateCounts, Slice
from accidents.predictions.store import PredictionStore
from serving.api.errors import ApiError
from serving.api.http.limits import Rates, too_many
from serving.api.settings import ApiSettings

_LOG = logging.getLogger(__name__)
_PARTS = 100  # a slice is this part of a caller's minute, and what one request costs at least
_AT_ONCE = 4  # slices that are taken at a time, each on a connection
_PURSES = 10_000  # callers that are known at a time
_AGAIN = 1.0  # seconds after a refusal in which the database is not asked again


@dataclass(slots=True)
class _Purse:
    """What this API may still spend for a caller, of slices that it took in this minute."""

    left: int = 0
    until: float = 0.0  # on this machine's monotonic clock
    refused: int = 0  # the least that was refused
    refused_until: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def spend(self, cost: int) -> bool:
        """Take the cost out, if it is in there."""
        if time.monotonic() >= self.until:
            self.left = 0
        if self.left < cost:
            return False
        self.left -= cost
        return True

    @property
    def idle(self) -> bool:
        return not self.lock.locked() and max(self.until, self.refused_until) < time.monotonic()


class SharedRates(Rates):
    """Counts in the database; never more than the limit, and less by what others' slices still hold of it."""

    def __init__(
        self,
        counts: RateCounts,
        accidents_per_minute: int,
        wrong_keys_per_minute: int,
        labels_per_minute: int = 12_000,
    ) -> None:
        super().__init__(accidents_per_minute, wrong_keys_per_minute, labels_per_minute)
        self._counts, self._purses = counts, dict[str, _Purse]()
        self._taking = asyncio.Semaphore(_AT_ONCE)

    async def _hit(self, limit: RateLimitItemPerMinute, who: str, cost: int, message: str) -> None:
        name = f"{limit.namespace} {who}"
        purse = self._purse(name)
        if purse.spend(cost):
            return
        async with purse.lock:  # who comes meanwhile spends of the same slice
            while not purse.spend(cost):  # again where others have spent what was there before
                need = cost - purse.left
                if purse.refused <= need and time.monotonic() < purse.refused_until:
                    raise too_many(message, purse.until - time.monotonic())
                taken = await self._take(name, need, max(need, limit.amount // _PARTS), limit.amount)
                purse.until = time.monotonic() + taken.seconds
                if not taken.amount:
                    purse.refused, purse.refused_until = need, time.monotonic() + min(_AGAIN, taken.seconds)
                    raise too_many(message, taken.seconds)
                purse.left += taken.amount

    async def _take(self, name: str, least: int, wanted: int, most: int) -> Slice:
        try:
            async with self._taking:
                return await asyncio.to_thread(self._counts.take, name, least, wanted, most)
        except PredictionLogError as error:
            _LOG.error("Rates cannot be counted: %s", error)
            raise ApiError(
                "limits_unavailable", "Rates cannot be counted at the moment. Try again."
            ) from None

    def _purse(self, name: str) -> _Purse:
        if len(self._purses) >= _PURSES:
            self._purses = {name: purse for name, purse in self._purses.items() if not purse.idle}
        return self._purses.setdefault(name, _Purse())


def rates_for(settings: ApiSettings, store: PredictionStore) -> Rates:
    """Return rates that are counted where the settings say."""
    most = settings.accidents_per_minute, settings.wrong_keys_per_minute, settings.labels_per_minute
    return SharedRates(store.rates, *most) if settings.limits_in == "database" else Rates(*most)
