"""What a version on probation has answered is found, however small its share of the log is."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, nullcontext
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from accidents.monitoring.callers import NO_KEY
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.probation import Probe, Traffic, judge_probation
from accidents.predictions.store import PredictionStore
from accidents.rollout.traffic_split import CHALLENGER, CHAMPION, is_in_share
from steps.deployment import watch_version
from tests.predictions import START, prediction

LATER = (START + watch_version._KNOWN_AFTER, START + timedelta(days=1))


def test_a_canary_of_two_percent_fails_on_what_it_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 5,000 predictions 100 are its own, 0.3 off; of the newest 2,000 there are too few."""
    new: dict[str, Any] = {"model_version": "4", "model_digest": "new", "probability": 0.4}
    made = [
        prediction(k / 1_000, features={}, key_name=f"room-{k % 7}", **(new if k % 50 == 0 else {}))
        for k in range(5_000)
    ]
    earlier: Any = SimpleNamespace(model=None, features=["hour"])
    watched: Any = SimpleNamespace(digest="new")
    monkeypatch.setattr(watch_version, "probabilities", lambda _, rows: np.full(len(rows), 0.1))
    with closing(PredictionStore(f"sqlite:///{tmp_path}/predictions.db")) as store:
        store.create()
        store.log.write(made)
        monkeypatch.setattr(watch_version, "opened_store", lambda: nullcontext(store))
        compared = watch_version._first_predictions(watched, earlier, "4", START)
        other = watch_version._first_predictions(watched, earlier, "5", START)
    assert (len(compared.new), len(other.new)) == (100, 0)
    settings = MonitorSettings()
    verdict = judge_probation([Probe(0.01)], compared, settings.probation, settings.per_caller)
    assert not verdict.stays
    assert "+0.300 from those of the version before" in verdict.reasons[0]


def test_of_a_canary_what_the_champion_had_to_answer_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 200 accidents a tenth is the canary's; of those with an even number, all of metz, it failed."""
    names = [f"accident-{k}" for k in range(200)]
    due = [name for name in names if is_in_share(name, 10)]
    own = {name for name in due if int(name[9:]) % 2}
    new: dict[str, Any] = {"model_version": "4", "model_digest": "new"}
    made = [
        prediction(
            60 + k,
            accident_id=name,
            key_name=("metz", "lyon")[k % 2],
            **(new if name in own else {}),
        )
        for k, name in enumerate(names)
    ]
    watched: Any = SimpleNamespace(digest="new", stage="dispatch")
    version, before, other = (
        SimpleNamespace(name=made[0].model_name, version=one) for one in ("4", made[0].model_version, "2")
    )
    with closing(PredictionStore(f"sqlite:///{tmp_path}/predictions.db")) as store:
        store.create()
        store.log.write([*made, prediction(0.05, accident_id=due[0])])
        monkeypatch.setattr(watch_version, "opened_store", lambda: nullcontext(store))
        found: Any = [
            watch_version._traffic(watched, version, one, LATER, role, 10)  # type: ignore[arg-type]
            for one, role in ((before, CHALLENGER), (before, CHAMPION), (other, CHALLENGER))
        ]
    lyon, metz = {"lyon": len(own)}, {"metz": len(due) - len(own)}
    assert lyon["lyon"] > 0 < metz["metz"]
    assert found[0] == Traffic(200, Counter(lyon | metz), Counter(metz), (frozenset(metz),)), (
        "what came before the API knew does not count"
    )
    assert found[1] == Traffic(200, Counter(lyon))
    assert found[2] == Traffic(len(own), Counter(lyon)), "others' came to another endpoint"


def test_a_stage_that_asks_more_often_hides_no_canary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both stages share the log: what came last may be all the other's."""
    own = [prediction(60 + k, model_version="4", model_digest="new") for k in range(3)]
    others = [prediction(70 + k, stage="on_scene", model_name="other") for k in range(10)]
    watched: Any = SimpleNamespace(digest="new", stage="dispatch")
    version: Any = SimpleNamespace(name=own[0].model_name, version="4")
    monkeypatch.setattr(watch_version, "LOOKED_AT", 5)
    with closing(PredictionStore(f"sqlite:///{tmp_path}/predictions.db")) as store:
        store.create()
        store.log.write([*own, *others])
        monkeypatch.setattr(watch_version, "opened_store", lambda: nullcontext(store))
        traffic = watch_version._traffic(watched, version, None, LATER, CHAMPION, 100)
    assert traffic == Traffic(3, Counter({own[0].key_name or NO_KEY: 3}))
