"""What a version on probation has answered is found, however small its share of the log is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from accidents.monitoring.callers import NO_KEY
from accidents.monitoring.monitor_settings import KNOWN_AFTER, MonitorSettings, ProbationPolicy
from accidents.monitoring.probation import Probe, Traffic, TrafficSeen, Verdict, judge_probation
from accidents.predictions.prediction_log import Prediction
from accidents.predictions.store import PredictionStore
from accidents.rollout.traffic_split import CHALLENGER, CHAMPION, Role, is_in_share
from stacks.endpoints import EndpointState, State
from steps.deployment import watch_version
from steps.folder import Folder
from tests.no_http import no_http
from tests.predictions import START, prediction

KNOWN = START + timedelta(seconds=KNOWN_AFTER)
NEW: dict[str, Any] = {"model_version": "4", "model_digest": "new"}
WATCHED: Any = SimpleNamespace(name="accident-severity-dispatch", digest="new", stage="dispatch")


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


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PredictionStore]:
    with closing(PredictionStore(f"sqlite:///{tmp_path}/predictions.db")) as store:
        store.create()
        monkeypatch.setattr(watch_version, "opened_store", lambda: nullcontext(store))
        yield store


def look(watched: Any, version: Any, before: Any, role: Role = CHAMPION, share: int = 100) -> Traffic:
    """What one look at the log sees."""
    seen = TrafficSeen()
    seen.add(watch_version._answers(watched, version, before, KNOWN, role, share))
    return seen.traffic()


def test_of_a_canary_what_the_champion_had_to_answer_is_counted(store: PredictionStore) -> None:
    """Of 200 accidents a tenth is the canary's; of those with an even number, all of metz, it failed."""
    names = [f"accident-{k}" for k in range(200)]
    due = [name for name in names if is_in_share(name, 10)]
    own = {name for name in due if int(name[9:]) % 2}
    made = [
        prediction(60 + k, accident_id=name, key_name=("metz", "lyon")[k % 2], **(NEW if name in own else {}))
        for k, name in enumerate(names)
    ]
    version, before, other = (
        SimpleNamespace(name=made[0].model_name, version=one) for one in ("4", made[0].model_version, "2")
    )
    store.log.write([*made, prediction(0.05, accident_id="before the API knew")])
    found = [
        look(WATCHED, version, one, role, 10)
        for one, role in ((before, CHALLENGER), (before, CHAMPION), (other, CHALLENGER))
    ]
    lyon, metz = {"lyon": len(own)}, {"metz": len(due) - len(own)}
    assert lyon["lyon"] > 0 < metz["metz"]
    came = Counter({"lyon": 100, "metz": 100})
    assert found[0] == Traffic(came, Counter(lyon | metz), Counter(metz), (frozenset(metz),))
    assert found[1] == Traffic(came, Counter(lyon))
    assert found[2] == Traffic(Counter(lyon), Counter(lyon)), "others' came to another endpoint"


def test_a_stage_that_asks_more_often_hides_no_canary(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both stages share the log: what came last may be all the other's."""
    own = [prediction(60 + k, **NEW) for k in range(3)]
    others = [prediction(70 + k, stage="on_scene", model_name="other") for k in range(10)]
    version = SimpleNamespace(name=own[0].model_name, version="4")
    monkeypatch.setattr(watch_version, "LOOKED_AT", 5)
    store.log.write([*own, *others])
    asked = Counter({own[0].key_name or NO_KEY: 3})
    assert look(WATCHED, version, None) == Traffic(asked, asked)


def test_what_a_clock_has_dated_ahead_hides_no_canary(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest 2,000 would be these until their time comes."""
    own = [prediction(60 + k, **NEW) for k in range(3)]
    ahead = [prediction(created=datetime.now(UTC) + timedelta(days=400)) for _ in range(10)]
    monkeypatch.setattr(watch_version, "LOOKED_AT", 5)
    store.log.write([*own, *ahead])
    version = SimpleNamespace(name=own[0].model_name, version="4")
    asked = Counter({own[0].key_name or NO_KEY: 3})
    assert look(WATCHED, version, SimpleNamespace(version="3")) == Traffic(asked, asked)
    assert watch_version._dated_ahead(WATCHED)[0].startswith("10 predictions are dated later than")


Written = Callable[[], list[Prediction]]


@pytest.fixture
def watch(store: PredictionStore, monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[Written]], Verdict]:
    """Watch a canary of half of the accidents, whose API writes something before each look but the first."""

    def watch(
        before_looks: Sequence[Written], ahead: timedelta = timedelta(minutes=-10), seconds: float = 0
    ) -> Verdict:
        writes = iter(before_looks)
        monkeypatch.setattr(time, "sleep", lambda _: store.log.write(next(writes)()))
        policy = ProbationPolicy(minutes=seconds / 60, min_probes=len(before_looks) + 1, min_predictions=20)
        version: Any = SimpleNamespace(name=prediction().model_name, version="4", load=lambda _: WATCHED)
        since = (datetime.now(UTC) + ahead).isoformat()
        before: Any = SimpleNamespace(name=version.name, version="3")
        settings = MonitorSettings(probation=policy)
        return watch_version.watch_version.entrypoint(
            Folder(Path()), version, since, settings, None, CHALLENGER, None, before, 50
        )

    monkeypatch.setattr(watch_version, "make_golden", lambda *_: None)
    monkeypatch.setattr(watch_version, "_probe", lambda *_: Probe(0.01))
    monkeypatch.setattr(watch_version, "log_metadata", lambda **_: None)
    chosen = SimpleNamespace(version=lambda *_: SimpleNamespace(id=""))
    monkeypatch.setattr(watch_version, "champion_and_versions", chosen)
    return watch


ITS = [name for name in (f"accident-{k}" for k in range(1_000)) if is_in_share(name, 50)]


def answered(seconds_ago: float, names: Sequence[str], own: bool) -> list[Prediction]:
    """Answers to accidents that are the canary's, of two callers in turns."""
    created = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return [
        prediction(
            accident_id=name, created=created, key_name=("metz", "lyon")[k % 2], **(NEW if own else {})
        )
        for k, name in enumerate(names)
    ]


def test_a_form_that_is_predicted_at_each_look_is_one_accident(watch: Any) -> None:
    """Three of its sixty drafts fell to the champion: no canary goes for one accident."""

    def draft(own: bool, **more: str) -> list[Prediction]:
        form = {"session": ITS[0], "key_name": None, "created": datetime.now(UTC)}
        return [prediction(**form, **more, **(NEW if own else {}))]

    drafts = [partial(draft, own=k % 20 != 10) for k in range(59)]
    verdict = watch([*drafts, partial(draft, own=True, accident_id=ITS[1])])
    assert verdict.stays, verdict.reasons
    assert (verdict.due, verdict.answered) == (1, 1)


def test_rows_of_a_slow_batch_are_counted_when_they_come(watch: Any) -> None:
    """All of it is written in its last moment, 40 s after the first of it was scored."""
    verdict = watch(
        [
            partial(answered, 0, ITS[:30], own=True),
            partial(answered, 40, ITS[30:60], own=False),
            partial(answered, 40, ITS[60:90], own=False),
            partial(answered, 40, ITS[90:120], own=False),
        ]
    )
    assert (verdict.stays, verdict.due, verdict.answered) == (False, 120, 30)


def test_an_api_whose_clock_is_behind_is_seen(watch: Any) -> None:
    written = [partial(answered, 6, ITS[start : start + 10], own=False) for start in range(0, 50, 10)]
    verdict = watch(written)
    assert not verdict.stays
    assert "accidents of its share were answered by the champion instead" in verdict.reasons[0]
    assert (verdict.due, verdict.answered) == (30, 0), "as soon as three looks have seen it, before the end"


def test_no_clock_that_is_set_ends_a_probation_or_makes_it_longer() -> None:
    """One that was ahead as it began: else a year is left, and the loop's lease is held all the while."""
    now = datetime.now(UTC)
    for since, left in (
        (now + timedelta(days=400), 600),
        (now, 600),
        (now - timedelta(minutes=4), 360),
        (now - timedelta(days=400), 0),
    ):
        begun, end = watch_version._begun_and_end(since.isoformat(), 600)
        assert begun <= datetime.now(UTC), "what is answered from now on is read"
        assert end - time.monotonic() == pytest.approx(left, abs=5)


def test_a_probation_that_began_in_the_future_ends(watch: Any) -> None:
    """A second of it, of which a clock that was ahead by a year would make a year."""
    began = time.monotonic()
    verdict = watch([partial(answered, -15, ITS[:30], own=True)] * 4, timedelta(days=400), seconds=0.01)
    assert verdict.stays
    assert time.monotonic() - began < 30


def test_looks_add_up(watch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one look sees is too little to say anything."""
    monkeypatch.setattr(watch_version, "LOOKED_AT", 15)
    verdict = watch(
        [partial(answered, 0, ITS[start : start + 10], own=start % 20 == 0) for start in range(0, 60, 10)]
    )
    assert (verdict.stays, verdict.due, verdict.answered) == (False, 60, 30)


def test_an_api_that_answers_no_http_fails_the_probe_and_not_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A failed probe leads to a roll-back, a step that ends with an error leaves the new version there."""
    endpoint = SimpleNamespace(
        state=lambda: EndpointState(State.healthy), predictor=lambda role: lambda features: features
    )
    monkeypatch.setattr(
        watch_version, "active_endpoints", lambda: SimpleNamespace(endpoint=lambda name: endpoint)
    )
    golden: Any = SimpleNamespace(features=None, check=lambda *_: None)
    with no_http() as api:
        probe = watch_version._probe("accident-severity-dispatch", golden, api, CHAMPION)
    assert probe.error == "SSH-2.0-OpenSSH_9"
