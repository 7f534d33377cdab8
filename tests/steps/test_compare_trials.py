"""A trial is compared on the window that the monitor looks at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from accidents.monitoring.monitor_settings import MonitorSettings, WindowSettings
from steps.monitoring import compare_trials as module


@pytest.mark.parametrize(
    ("window", "last", "days"),
    [({"days": 7}, module.LOOKED_AT, 7), ({"last": 500}, 500, None),
     ({"last": 2 * module.LOOKED_AT}, module.LOOKED_AT, None)],
)  # fmt: skip
def test_of_the_log_its_last_days_or_its_last_so_many(
    monkeypatch: pytest.MonkeyPatch, window: dict[str, int], last: int, days: int | None
) -> None:
    asked: dict[str, Any] = {}

    def read(**words: Any) -> Iterator[Any]:
        asked.update(words)
        return iter(())

    store = SimpleNamespace(log=SimpleNamespace(read=read))
    monkeypatch.setattr(module, "opened_store", lambda: nullcontext(store))
    bundle: Any = SimpleNamespace(
        digest="a" * 64, features=["hour"], stage="dispatch", facts={"synthetic": False, "learnt_from": []}
    )
    module._scored(bundle, bundle, MonitorSettings(window=WindowSettings(**window)), 7)
    assert asked["last"] == last
    if days is None:
        assert asked["since"] is None
    else:
        assert datetime.now(UTC) - asked["since"] - timedelta(days=days) < timedelta(minutes=1)
