"""The loop goes on from any event: a real history and lease, and a fake for what it does on the stack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accidents.errors import AccidentsError, SourceError
from accidents.monitoring.measurements import MonitorReport
from accidents.monitoring.probation import Verdict
from accidents.params import Params, load_params
from accidents.predictions.history import new_loop
from accidents.predictions.leases import LeaseLostError
from accidents.predictions.store import LOOP, PredictionStore
from commands import loop as module
from commands.loop import Loop
from commands.not_due import NotDueError
from steps.support.champion_and_versions import ChampionChangedError
from tests.conftest import ROOT
from tests.monitor_reports import measurements, report, verdict

LOOK = {"action": "retrain", "years": [2023], "source": "sample", "given": None}
MADE = {
    "model_version": "2",
    "champion_version": "2",
    "decision": {"promote": True, "rule": "better", "reason": "better"},
}
REFUSED = {"champion_version": "1", "decision": {"promote": False, "rule": "worse", "reason": "worse"}}


class FakeStack:
    """What the loop has done on a stack, and who is champion there; `breaks`: what goes wrong."""

    def __init__(self, champion: str = "1", breaks: str = "") -> None:
        self.number, self.breaks, self.done = champion, breaks, []
        self.loops: dict[str, str] = {}  # who made which version
        self.years: tuple[int, ...] = ()  # of the last training
        self.recorded: dict[str, str] = {}

    @staticmethod
    def model_name(stage: str) -> str:
        return f"accident-severity-{stage}"

    def champion(self, name: str) -> Any:
        return SimpleNamespace(number=int(self.number))

    def made_by_loop(self, version: str) -> str | None:
        return self.loops.get(version)

    def version(self, name: str, number: str) -> str:
        return number

    def record_loop(self, version: str, **tags: str) -> None:
        self.recorded.update(tags)

    def rollback(self, name: str, judged: str | None = None) -> None:
        self.number = "3" if self.breaks == "promoted meanwhile" else self.number
        if judged not in (None, self.number):
            raise ChampionChangedError(self.champion(name))
        self.number = "1"

    def work(self, what: str, version: str | None = None) -> None:
        self.done.append(f"{what} {version or self.number}")
        if what == self.breaks:
            raise RuntimeError("broken")

    def train(self, params: Any, *words: Any, **others: Any) -> dict[str, Any]:
        self.years = params.data.years
        self.work("train", "2")
        if self.breaks == "promotion":
            return {**MADE, **REFUSED}
        self.number = "2"
        return MADE

    def recalibrate(self, *words: Any) -> dict[str, Any]:
        self.between = words[-1]
        self.work("recalibrate", "2")
        self.number = "2"
        return MADE

    def deploy(self, params: Any, stack: str, config: None, version: str | None) -> None:
        self.work("deploy", version)

    def watch(self, params: Any, stack: str, version: str, before: str, since: datetime) -> Verdict:
        self.done.append(f"watch {version}")
        self.since = since
        return verdict(self.breaks != "probation", "its errors")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PredictionStore]:
    made = PredictionStore(f"sqlite:///{tmp_path}/predictions.db")
    made.create()
    yield made
    made.close()


def act_on(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train", "recalibrate", "deploy", "watch"):
        monkeypatch.setattr(module, name, getattr(stack, name))
    monkeypatch.setattr(module, "champion_and_versions", stack)
    monkeypatch.setattr(module, "deployed_endpoint", lambda name: object())
    monkeypatch.setattr(module, "may_try", lambda *words: False)


def follow(
    store: PredictionStore, stack: FakeStack, monkeypatch: pytest.MonkeyPatch, *events: Any, only: str = ""
) -> list[str]:
    """Write events down, go on from there, with all or `only` one stage; return what was written then."""
    act_on(stack, monkeypatch)
    with store.lease(LOOP, 60) as lease:
        loop = Loop(load_params(ROOT / "params.yaml"), "local", store, lease)
        identity = stack.loops["2"] = new_loop()
        for stage, outcome, version, detail in events:
            store.history.add_event(identity, datetime.now(UTC), loop.name, stage, outcome, version, **detail)
        if only:
            monkeypatch.setattr(module, "push", lambda *_: None)
            loop.run_only(only, None, None, "schedule")
        else:
            loop._follow()
        written = store.history.events(loop.name)
        assert {one.loop_id for one in written} == {identity}
        return [f"{one.stage} {one.outcome}" for one in written[len(events) :]]


LOOKED = ("monitor", "ok", "1", LOOK)
TRAINING = ("train", "started", None, {"before": "1", "years": [2023]})
TRAINED = ("train", "ok", "2", {"before": "1", **MADE})
PROMOTED = ("promote", "ok", "2", {"before": "1"})
DEPLOYING = ("deploy", "started", "2", {"before": "1"})
DEPLOYED = ("deploy", "ok", "2", {"before": "1"})
VERIFYING = ("verify", "started", "2", {"before": "1", "since": "2026-01-01T00:00:00+00:00"})
NOT_DEPLOYED = ("deploy", "failed", "2", {"before": "1", "error": "broken"})
WRONG = ("verify", "failed", "2", {"before": "1", "reasons": ["its errors"]})
TAKING_BACK = ("rollback", "started", "2", {"before": "1", "reason": "its errors"})
NOT_TAKEN_BACK = ("rollback", "failed", "2", {"before": "1", "error": "broken"})

FROM = {
    "a look": ((LOOKED,), "1", "train 2, deploy 2, watch 2"),
    "a look for a recalibration": (
        (("monitor", "ok", "1", {**LOOK, "action": "recalibrate"}),), "1", "recalibrate 2, deploy 2, watch 2",
    ),
    "a look that keeps": ((("monitor", "ok", "1", {**LOOK, "action": "keep"}),), "1", ""),
    "training": ((LOOKED, TRAINING), "1", "train 2, deploy 2, watch 2"),
    "training, and promoted": ((LOOKED, TRAINING), "2", "deploy 2, watch 2"),
    "trained": ((LOOKED, TRAINING, TRAINED), "2", "deploy 2, watch 2"),
    "promoted": ((LOOKED, TRAINING, TRAINED, PROMOTED), "2", "deploy 2, watch 2"),
    "deploying": ((LOOKED, TRAINING, TRAINED, PROMOTED, DEPLOYING), "2", "deploy 2, watch 2"),
    "deployed": ((LOOKED, TRAINING, TRAINED, PROMOTED, DEPLOYED), "2", "watch 2"),
    "verifying": ((LOOKED, TRAINING, TRAINED, PROMOTED, DEPLOYED, VERIFYING), "2", "watch 2"),
    "not deployed": ((LOOKED, TRAINING, TRAINED, PROMOTED, NOT_DEPLOYED), "2", "deploy 1"),
    "gone wrong": ((LOOKED, TRAINING, TRAINED, PROMOTED, DEPLOYED, WRONG), "2", "deploy 1"),
    "taking back": ((LOOKED, TRAINING, TRAINED, PROMOTED, DEPLOYED, WRONG, TAKING_BACK), "2", "deploy 1"),
    "taken back, not noted": ((LOOKED, TRAINING, TRAINED, PROMOTED, WRONG, TAKING_BACK), "1", "deploy 1"),
    "not taken back": ((LOOKED, PROMOTED, WRONG, TAKING_BACK, NOT_TAKEN_BACK), "2", "deploy 1"),
    "in the registry only": ((LOOKED, PROMOTED, NOT_DEPLOYED, TAKING_BACK, NOT_TAKEN_BACK), "1", "deploy 1"),
}  # fmt: skip


@pytest.mark.parametrize("place", FROM)
def test_it_goes_on_from_wherever_it_was_left(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    events, champion, done = FROM[place]
    stack = FakeStack(champion)
    written = follow(store, stack, monkeypatch, *events)
    assert ", ".join(stack.done) == done
    ends = {"deploy 1": ["rollback ok"], "": []}
    assert written[-1:] == ends.get(done, ["verify ok"])


@pytest.mark.parametrize("only", ["", "promote"])
def test_who_became_champion_by_other_hands_is_not_taken_for_the_loops_own(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch, only: str
) -> None:
    stack = FakeStack("0")
    stack.loops["0"] = "another loop"
    assert follow(store, stack, monkeypatch, LOOKED, TRAINING, only=only) == ["train refused"]
    assert (stack.done, stack.number) == ([], "0")


@pytest.mark.parametrize(
    ("breaks", "done", "end", "recorded"),
    [
        ("promotion", "train 2", "promote refused", {"promoted": "no"}),
        ("probation", "train 2, deploy 2, watch 2, deploy 1", "rollback ok", {"taken_back": "its errors"}),
    ],
)
def test_what_goes_wrong_after_the_training(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch, breaks: str, done: str, end: str,
    recorded: dict[str, str],
) -> None:  # fmt: skip
    stack = FakeStack(breaks=breaks)
    assert follow(store, stack, monkeypatch, LOOKED)[-1] == end
    assert ", ".join(stack.done) == done
    assert recorded.items() <= stack.recorded.items()


def test_a_version_that_is_champion_no_longer_is_not_deployed(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = FakeStack(champion="3")  # of another training, or a person's choice
    assert follow(store, stack, monkeypatch, LOOKED, TRAINING, TRAINED) == ["promote refused"]
    assert stack.done == []
    refused = store.history.events("accident-severity-dispatch")[-1]
    assert refused.detail["reason"] == "Version 3 is champion by now."


@pytest.mark.parametrize(
    ("breaks", "written"),
    [
        ("train", ["train started", "train failed"]),
        ("deploy", ["train started", "train ok", "promote ok", "deploy started", "deploy failed",
                    "rollback started", "rollback failed"]),
    ],
)  # fmt: skip
def test_what_breaks_is_written_down_and_told(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch, breaks: str, written: list[str]
) -> None:
    stack = FakeStack(breaks=breaks)
    with pytest.raises(AccidentsError, match="broken"):
        follow(store, stack, monkeypatch, LOOKED)
    name = "accident-severity-dispatch"
    assert [f"{one.stage} {one.outcome}" for one in store.history.events(name)][1:] == written
    assert bool(store.history.unfinished(name)) == (written[-1] == "rollback failed"), (
        "only that is tried again"
    )


def test_who_was_promoted_between_a_verdict_and_the_rollback_stays(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = FakeStack("2", breaks="promoted meanwhile")
    assert follow(store, stack, monkeypatch, LOOKED, PROMOTED, DEPLOYED, WRONG)[-1] == "rollback ok"
    assert (stack.number, stack.done) == ("3", ["deploy 3"])
    assert "Version 3 is champion by now, and stays." in capsys.readouterr().out


def test_a_probation_that_began_under_a_clock_that_was_ahead_begins_now(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = datetime.now(UTC) + timedelta(days=400)
    begun = ("verify", "started", "2", {"before": "1", "since": ahead.isoformat()})
    stack = FakeStack("2")
    follow(store, stack, monkeypatch, LOOKED, TRAINING, TRAINED, PROMOTED, DEPLOYED, begun)
    assert stack.since <= datetime.now(UTC)
    again = store.history.events("accident-severity-dispatch")[-2].detail["since"]
    assert datetime.fromisoformat(again) == stack.since, "a restart begins there too"


ALONE = {  # what a stage writes alone, by the place where it is due
    "a look": ("train", ["train started", "train ok"]),
    "training": ("train", ["train started", "train ok"]),
    "training, and promoted": ("promote", ["promote ok"]),
    "trained": ("promote", ["promote ok"]),
    "promoted": ("deploy", ["deploy started", "deploy ok"]),
    "deploying": ("deploy", ["deploy started", "deploy ok"]),
    "deployed": ("verify", ["verify started", "verify ok"]),
    "not deployed": ("rollback", ["rollback started", "rollback ok"]),
    "gone wrong": ("rollback", ["rollback started", "rollback ok"]),
    "not taken back": ("rollback", ["rollback started", "rollback ok"]),
}


@pytest.mark.parametrize("place", ALONE)
def test_a_stage_alone_leaves_the_next_one(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (events, champion, _), (stage, written) = FROM[place], ALONE[place]
    assert follow(store, FakeStack(champion), monkeypatch, *events, only=stage) == written


@pytest.mark.parametrize(
    ("place", "stage", "told"),
    [
        ("a look that keeps", "train", "train is not due: the last loop ended with monitor (keep)."),
        ("trained", "deploy", "the last loop has come to train (ok), and promote follows."),
        ("deployed", "train", "the last loop has come to deploy (ok), and verify follows."),
    ],
)
def test_a_stage_that_is_not_due_is_refused_and_nothing_written(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch, place: str, stage: str, told: str
) -> None:
    events, champion, _ = FROM[place]
    stack = FakeStack(champion)
    with pytest.raises(NotDueError, match=re.escape(told)):
        follow(store, stack, monkeypatch, *events, only=stage)
    assert stack.done == []
    assert len(store.history.events("accident-severity-dispatch")) == len(events)


def test_without_any_loop_no_stage_is_due(store: PredictionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotDueError, match="there was no loop yet"):
        follow(store, FakeStack(), monkeypatch, only="train")


def test_a_stage_that_has_failed_is_done_again_when_it_is_asked_for(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AccidentsError, match="broken"):
        follow(store, FakeStack(breaks="train"), monkeypatch, LOOKED, only="train")
    with store.lease(LOOP, 60) as lease:
        loop = Loop(load_params(ROOT / "params.yaml"), "local", store, lease)
        stack = FakeStack()
        monkeypatch.setattr(module, "champion_and_versions", stack)
        monkeypatch.setattr(module, "train", stack.train)
        loop.run_only("train", None, None, "schedule")
    written = [f"{one.stage} {one.outcome}" for one in store.history.events(loop.name)]
    assert written[1:] == ["train started", "train failed", "train started", "train ok"]
    assert len({one.loop_id for one in store.history.events(loop.name)}) == 1


def test_a_loop_that_lost_its_lease_beside_a_canary_switches_nothing(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = FakeStack("2")
    act_on(stack, monkeypatch)
    with store.lease(LOOP, 60) as lease:
        loop = Loop(load_params(ROOT / "params.yaml"), "local", store, lease)

        def lose() -> None:
            raise LeaseLostError("lost")

        def walk_up(*_: Any) -> Verdict:
            loop.lease = SimpleNamespace(require=lose)  # type: ignore[assignment]
            return verdict()

        monkeypatch.setattr(module, "may_try", lambda *_: True)
        monkeypatch.setattr(module, "walk_up", walk_up)
        for stage, outcome, version, detail in (LOOKED, TRAINING, TRAINED, PROMOTED):
            store.history.add_event("a", datetime.now(UTC), loop.name, stage, outcome, version, **detail)
        with pytest.raises(LeaseLostError):
            loop._follow()
    assert stack.done == []


def test_after_a_canary_it_is_watched_as_it_answers_all_for_its_part_of_the_time(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, minutes = FakeStack("2"), list[float]()

    def watch(params: Any, *words: Any) -> Verdict:
        minutes.append(params.monitor.probation.minutes)
        return verdict()

    act_on(stack, monkeypatch)
    monkeypatch.setattr(module, "may_try", lambda *_: True)
    monkeypatch.setattr(module, "walk_up", lambda *_: verdict())
    monkeypatch.setattr(module, "watch", watch)
    params = load_params(ROOT / "params.yaml", {"monitor.probation.canary": [5, 25]})
    with store.lease(LOOP, 60) as lease:
        loop = Loop(params, "local", store, lease)
        for stage, outcome, version, detail in (LOOKED, TRAINING, TRAINED, PROMOTED):
            store.history.add_event("a", datetime.now(UTC), loop.name, stage, outcome, version, **detail)
        loop._follow()
    written = [f"{one.stage} {one.outcome}" for one in store.history.events(loop.name)][4:]
    assert written == ["deploy started", "deploy ok", "verify started", "verify ok"]
    assert (stack.done, minutes) == (["deploy 2"], [20])


def test_what_is_fitted_is_the_window_that_was_decided_on(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = {"since": "2026-10-01T00:00:00+00:00", "until": "2026-10-31T00:00:00+00:00"}
    between = module._moments(report(measurements(window=moments)))
    stack = FakeStack()
    follow(
        store,
        stack,
        monkeypatch,
        ("monitor", "ok", "1", {**LOOK, "action": "recalibrate", "between": between}),
    )
    assert stack.between == list(moments.values())
    assert module._moments(report(measurements(window=moments | {"from_log": False}))) is None


def test_after_a_loop_that_was_left_the_look_is_at_the_champion_it_made(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The champion knows 2021 and 2022; the loop that was left trains on 2023, and then 2024 comes in."""

    def renewed(params: Params, stack: str, source: str | None) -> Params:
        return params.model_copy(update={"data": params.data.model_copy(update={"years": fake.years})})

    def look(params: Params, *_: Any) -> MonitorReport:
        looked.append(params.data.years)
        return report(measurements(new_years=(2024,)))

    fake, looked = FakeStack(), list[tuple[int, ...]]()
    act_on(fake, monkeypatch)
    monkeypatch.setattr(module, "champion_params", renewed)
    monkeypatch.setattr(module, "push", lambda *_: None)
    monkeypatch.setattr("commands.loop.run_monitor", look)
    for name in ("_heal", "_trim"):
        monkeypatch.setattr(Loop, name, lambda _: None)
    params = load_params(ROOT / "params.yaml")
    params = params.model_copy(update={"data": params.data.model_copy(update={"years": (2021, 2022)})})
    with store.lease(LOOP, 60) as lease:
        loop = Loop(params, "local", store, lease)
        stage, outcome, version, detail = LOOKED
        store.history.add_event("a loop", datetime.now(UTC), loop.name, stage, outcome, version, **detail)
        loop.run(None, None, True, "by hand")
    assert looked == [(2021, 2022, 2023)]
    assert fake.years == (2021, 2022, 2023, 2024)


def test_who_only_decides_goes_on_with_nothing(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, name = FakeStack(), "accident-severity-dispatch"
    monkeypatch.setattr(module, "champion_and_versions", stack)
    monkeypatch.setattr(module, "train", stack.train)
    monkeypatch.setattr(module, "push", lambda *_: None)
    for stage, outcome, version, detail in (LOOKED, TRAINING):
        store.history.add_event("a loop", datetime.now(UTC), name, stage, outcome, version, **detail)
    with store.lease(LOOP, 60) as lease:
        loop = Loop(load_params(ROOT / "params.yaml"), "local", store, lease)
        with pytest.raises(
            NotDueError, match=r"left in the middle .* at train \(started\), and --decide-only"
        ):
            loop.run(None, None, False, "by hand")
    assert stack.done == []
    assert len(store.history.unfinished(name)) == 2


def test_who_only_decides_heals_nothing(store: PredictionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    decided = SimpleNamespace(decision=SimpleNamespace(action="keep"))
    monkeypatch.setattr(module, "push", lambda *_: None)
    monkeypatch.setattr(Loop, "_trim", lambda _: None)
    monkeypatch.setattr(Loop, "_look", lambda *_: decided)
    monkeypatch.setattr(Loop, "_heal", lambda _: done.append("healed"))
    with store.lease(LOOP, 60) as lease:
        loop = Loop(load_params(ROOT / "params.yaml"), "local", store, lease)
        loop.run(None, None, False, "by hand")
        assert done == []
        loop.run(None, None, True, "by hand")
    assert done == ["healed"]


def test_a_look_whose_years_cannot_be_told_has_failed(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise AccidentsError("data.gouv does not answer")

    monkeypatch.setattr("commands.loop.run_monitor", lambda *_: None)
    monkeypatch.setattr(Loop, "_years", fail)
    with store.lease(LOOP, 60) as lease, pytest.raises(AccidentsError, match="does not answer"):
        Loop(load_params(ROOT / "params.yaml"), "local", store, lease)._look(None, None, "by hand")
    written = store.history.events("accident-severity-dispatch")
    assert [f"{one.stage} {one.outcome}" for one in written] == ["monitor failed"]


def test_only_a_retraining_needs_the_champions_source_on_this_machine(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = report()
    lost = kept.model_copy(update={"decision": kept.decision.model_copy(update={"action": "retrain"})})
    params = load_params(ROOT / "params.yaml", {"data.source": "/srv/of a colleague"})
    looks = iter((kept, lost))
    monkeypatch.setattr("commands.loop.run_monitor", lambda *_: next(looks))
    with store.lease(LOOP, 60) as lease:
        loop = Loop(params, "local", store, lease)
        loop._look(None, None, "by hand")
        with pytest.raises(SourceError, match="/srv/of a colleague: there is no such folder"):
            loop._look(None, None, "by hand")
    written = store.history.events(loop.name)
    assert [f"{one.stage} {one.outcome}" for one in written] == ["monitor ok", "monitor failed"]


def test_old_runs_go_also_where_every_look_fails(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def fail(*_: Any) -> None:
        raise AccidentsError("broken")

    monkeypatch.setattr(Loop, "_heal", lambda _: None)
    monkeypatch.setattr(Loop, "_look", fail)
    monkeypatch.setattr(Loop, "_trim", lambda _: done.append("trimmed"))
    monkeypatch.setattr(module, "push", lambda *_: done.append("pushed"))
    with store.lease(LOOP, 60) as lease, pytest.raises(AccidentsError, match="broken"):
        Loop(load_params(ROOT / "params.yaml"), "local", store, lease).run(None, None, True, "by hand")
    assert done == ["trimmed", "pushed"]
