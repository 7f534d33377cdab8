"""A trial is compared on the window that the monitor looks at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accidents.monitoring.monitor_settings import MonitorSettings, WindowSettings
from accidents.rollout.traffic_split import Role
from stacks.endpoints import ServedVersion, State
from steps.folder import Folder
from steps.monitoring import compare_trials as module
from steps.monitoring import report_window as looked
from tests.monitor_reports import report


@pytest.mark.parametrize(
    ("window", "last", "days"),
    [({"days": 7}, module.LOOKED_AT, 7), ({"last": 500}, 500, None),
     ({"last": 2 * module.LOOKED_AT}, module.LOOKED_AT, None)],
)  # fmt: skip
def test_of_the_log_its_last_days_or_its_last_so_many(
    monkeypatch: pytest.MonkeyPatch, window: dict[str, int], last: int, days: int | None
) -> None:
    asked: dict[str, Any] = {}

    def read(since: Any, until: datetime, last: int, **words: Any) -> Iterator[Any]:
        asked.update(words, since=since, until=until, last=last)
        return iter(())

    store = SimpleNamespace(log=SimpleNamespace(read=read, count_from=lambda moment, stage: 3))
    monkeypatch.setattr(module, "opened_store", lambda: nullcontext(store))
    bundle: Any = SimpleNamespace(
        digest="a" * 64, features=["hour"], stage="dispatch", facts={"synthetic": False, "learnt_from": []}
    )
    scored = module._scored(bundle, bundle, MonitorSettings(window=WindowSettings(**window)), 7)
    assert timedelta(0) < asked["until"] - datetime.now(UTC) <= timedelta(hours=1)
    assert scored.notes[-1].startswith("3 predictions are dated later than")
    assert (asked["last"], asked["stage"]) == (last, "dispatch"), "another stage's would take their place"
    if days is None:
        assert asked["since"] is None
    else:
        assert datetime.now(UTC) - asked["since"] - timedelta(days=days) < timedelta(minutes=1)


def test_each_version_on_trial_has_a_page_which_the_look_keeps_beside_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The steps of a look at the log, without ZenML's runs: tests/pipelines/test_loop.py has these."""
    roles: tuple[tuple[str, Role], ...] = (("3", "champion"), ("4", "shadow"))
    served = [ServedVersion(number, None, role, 0, State.healthy, "m") for number, role in roles]
    endpoint = SimpleNamespace(versions=lambda: served)
    champion: Any = SimpleNamespace(name="m", version="3", load=lambda folder: object())
    versions = SimpleNamespace(version=lambda name, number: number, bundle_of=lambda number: object())
    monkeypatch.setattr(module, "deployed_endpoint", lambda name: endpoint)
    monkeypatch.setattr(module, "champion_and_versions", versions)
    monkeypatch.setattr(module, "_scored", lambda *_: SimpleNamespace(notes=("20 are dated later.",)))
    monkeypatch.setattr(module, "compare_scored", lambda *_: None)  # it has scored nothing yet
    trials = module.compare_trials.entrypoint(Folder(tmp_path), champion, MonitorSettings(), 7)
    told = json.loads((trials / "trial_shadow.json").read_text(encoding="utf-8"))
    assert (told["version"], told["champion"], told["comparison"]) == ("4", "3", None)
    assert "20 are dated later." in (trials / "trial_shadow.html").read_text(encoding="utf-8")

    history = SimpleNamespace(reports=lambda stage: [])
    monkeypatch.setattr(looked, "opened_store", lambda: nullcontext(SimpleNamespace(history=history)))
    stack = SimpleNamespace(active_stack=SimpleNamespace(experiment_tracker=None))
    monkeypatch.setattr(looked, "Client", lambda: stack)
    kept = looked.report_window.entrypoint(report(), None, trials)
    assert {path.name for path in kept.path.iterdir()} >= {
        "monitor.json", "report.html", "trial_shadow.html", "trial_shadow.json"
    }  # fmt: skip
