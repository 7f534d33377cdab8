"""The history of monitoring, in SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from accidents.monitoring.loop_decision import decide
from accidents.monitoring.measurements import Measurements, MonitorReport
from accidents.predictions.database import PredictionDatabase
from accidents.predictions.database_tables import NoDatabaseError
from accidents.predictions.history import History, new_loop
from accidents.predictions.prediction_log import PredictionLog
from accidents.predictions.store import opened_store
from tests.monitor_reports import CHAMPION, NOW, POLICY, drift, measurements, performance, report, shifted
from tests.predictions import prediction

pytest_plugins = ["tests.log_fixtures"]
MODEL = "accident-severity-dispatch"


@pytest.fixture
def history(address: str) -> Iterator[History]:
    database = PredictionDatabase(address)
    database.create()
    yield History(database)
    database.close()


def test_decisions_come_back_as_they_were_in_the_order_written(history: History) -> None:
    first = report(measurements(drift=drift(["light"])))
    second = report(created=NOW - timedelta(days=3))  # the clock was moved back
    history.add_run(first, judged=True, loop_id=new_loop())
    history.add_run(second, judged=False, loop_id=new_loop())
    assert history.reports("dispatch") == [first, second]
    past = history.past("dispatch")
    assert [(one.created, one.judged, one.decision.action) for one in past] == [
        (first.created, True, "alert"), (second.created, False, "keep"),
    ]  # fmt: skip
    assert history.reports("on_scene") == []
    assert history.reports("dispatch", 1) == [second]


def test_a_window_is_compared_with_one_of_its_source_that_shares_nothing_with_it(history: History) -> None:
    def looked(days_ago: float, **window: Any) -> MonitorReport:
        return report(measurements(window=window), NOW - timedelta(days=days_ago))

    def before(days_ago: float) -> MonitorReport | None:
        return history.report_before("dispatch", "prediction log", NOW - timedelta(days=days_ago))

    assert before(30) is None
    oldest, older, newest = looked(60), looked(31), looked(1)
    of_file = looked(31, source="2023", from_log=False)
    unmeasured = report(measurements(drift=None), NOW - timedelta(days=31))
    for one in (oldest, older, of_file, unmeasured, newest):
        history.add_run(one, judged=True, loop_id=new_loop())
    history.add_run(looked(31), judged=False, loop_id=new_loop())
    assert before(30) == older
    assert before(90) == oldest, "there is none further back"
    assert history.report_before("on_scene", "prediction log", NOW) is None


LOST = measurements(drift=drift(["light"]), performance=performance(True))


def looked_and_made(history: History, now: Measurements, days_ago: float) -> None:
    """A look so many days ago, whose loop has made the version it asked for."""
    loop = new_loop()
    history.add_run(report(now, NOW - timedelta(days=days_ago)), judged=True, loop_id=loop)
    history.add_event(loop, NOW - timedelta(days=days_ago), MODEL, "train", "ok", "4")


@pytest.mark.parametrize(
    ("event", "completed", "action"),
    [
        (("train", "ok"), True, "alert"),
        (("train", "failed"), False, "retrain"),
        (("train", "skipped"), False, "retrain"),
        (("monitor", "failed"), False, "retrain"),  # after the decision: MLflow was gone
        ((), False, "retrain"),  # ended hard after the decision
    ],
)
def test_a_retraining_that_made_no_version_is_not_done_with(
    history: History, event: tuple[str, ...], completed: bool, action: str
) -> None:
    loop = new_loop()
    history.add_run(report(LOST, NOW - timedelta(days=1)), judged=True, loop_id=loop)
    if event:
        history.add_event(loop, NOW, MODEL, *event)
    past = history.past("dispatch", POLICY, CHAMPION.digest, NOW)
    assert [(one.decision.action, one.completed) for one in past] == [("retrain", completed)]
    assert decide(LOST, past, POLICY, NOW).action == action


def test_whom_a_loss_hung_on_is_remembered(history: History) -> None:
    figures = [one.model_copy(update={"hangs_on": "key a"}) for one in performance(True).figures]
    hung = measurements(performance=performance().model_copy(update={"figures": tuple(figures)}))
    for days_ago, now in ((2, hung), (1, LOST)):
        history.add_run(report(now, NOW - timedelta(days=days_ago)), judged=True, loop_id=new_loop())
    past = history.past("dispatch", POLICY, CHAMPION.digest, NOW)
    assert [look.one_caller for look in past] == ["key a", None]


def test_a_new_year_is_learnt_though_there_was_nothing_newer_to_learn_from_the_day_before(
    history: History,
) -> None:
    loop = new_loop()
    history.add_run(report(LOST, NOW - timedelta(days=1)), judged=True, loop_id=loop)
    history.add_event(loop, NOW, MODEL, "train", "refused", reason="nothing newer to learn from")
    came = measurements(new_years=(2027,))
    assert (
        decide(came, history.past("dispatch", POLICY, CHAMPION.digest, NOW), POLICY, NOW).action == "retrain"
    )


def look_often(history: History, count: int, since: timedelta, now: Measurements = measurements()) -> None:  # noqa: B008
    """`count` looks five minutes apart, the first so long before NOW."""
    for k in range(count):
        moment = NOW - since + timedelta(minutes=5 * k)
        history.add_run(report(now, moment), judged=True, loop_id=new_loop())


def test_the_last_recalibration_is_remembered_too(history: History) -> None:
    off = measurements(performance=shifted(0.05))
    looked_and_made(history, off, days_ago=3)
    look_often(history, 60, since=timedelta(days=2), now=measurements(champion={"digest": "b" * 64}))
    past = history.past("dispatch", POLICY, "b" * 64, NOW)
    decision = decide(off, past, POLICY, NOW)
    assert (decision.action, "the last recalibration was decided" in decision.reasons[-1]) == ("alert", True)


def test_the_last_retraining_is_remembered_however_often_somebody_looks(history: History) -> None:
    undone = new_loop()
    looked_and_made(history, LOST, days_ago=20)
    history.add_run(report(LOST, NOW - timedelta(days=10)), judged=True, loop_id=undone)
    history.add_event(undone, NOW, MODEL, "train", "failed")
    look_often(history, 120, since=timedelta(days=9))
    past = history.past("dispatch", POLICY, CHAMPION.digest, NOW)
    assert [one.created for one in past if one.decision.action == "retrain" and one.completed] == [
        NOW - timedelta(days=20)
    ]
    held = decide(LOST, past, POLICY, NOW)
    assert held.action == "alert"
    assert "the last retraining was decided on 2026-11-02" in held.reasons[-1]


def test_looks_at_the_same_accidents_end_no_alert_and_forget_no_loss(history: History) -> None:
    lost = measurements(performance=performance(True))
    history.add_run(report(lost, NOW - timedelta(hours=22)), judged=True, loop_id=new_loop())
    look_often(history, 60, since=timedelta(hours=6))
    past = history.past("dispatch", POLICY, CHAMPION.digest, NOW)
    assert decide(measurements(), past, POLICY, NOW - timedelta(hours=1)).active == ("performance",)
    look_often(history, 60, timedelta(hours=1), lost)
    again = history.past("dispatch", POLICY, CHAMPION.digest, NOW)
    assert len(again) < 125, "and what is read is bounded"
    assert again[0].created == NOW - timedelta(hours=22)


def test_what_is_read_does_not_grow_with_the_history(history: History) -> None:
    for days in range(60, 0, -1):
        history.add_run(report(created=NOW - timedelta(days=days)), judged=True, loop_id=new_loop())
    assert len(history.past("dispatch", POLICY, CHAMPION.digest, NOW)) == 4


def test_a_clock_that_was_ahead_once_holds_nothing_up(history: History) -> None:
    history.add_run(report(created=NOW - timedelta(days=50)), judged=True, loop_id=new_loop())
    looked_and_made(history, LOST, days_ago=-365)
    history.add_run(report(created=NOW - timedelta(days=40)), judged=True, loop_id=new_loop())
    history.add_run(report(created=NOW - timedelta(days=1)), judged=True, loop_id=new_loop())
    past = history.past("dispatch", POLICY, CHAMPION.digest, NOW)
    assert [(one.created, one.misdated) for one in past] == [
        (NOW - timedelta(days=50), False), (NOW - timedelta(days=40), True),
        (NOW - timedelta(days=40), False), (NOW - timedelta(days=1), False),
    ]  # fmt: skip
    decided = decide(LOST, past, POLICY, NOW)
    assert decided.action == "retrain"
    assert "1 earlier looks are dated in the future" in " ".join(decided.reasons)


def test_nothing_is_made_by_reading_or_writing(tmp_path: Path) -> None:
    history = History(f"sqlite:///{tmp_path}/none.db")
    for work in (
        lambda: history.past("dispatch"),
        lambda: history.add_event(new_loop(), NOW, MODEL, "train", "ok"),
    ):
        with pytest.raises(NoDatabaseError, match=r"none\.db.*correct the address.*database upgrade"):
            work()
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_not_there_is_told_with_its_address_and_not_made(
    tmp_path: Path,
) -> None:
    with (
        pytest.raises(NoDatabaseError, match=r"wrong\.db.*correct the address"),
        opened_store(f"sqlite:///{tmp_path}/wrong.db"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_loop_left_in_the_middle_is_found_until_it_has_ended(history: History) -> None:
    loop = new_loop()
    history.add_event(loop, NOW, MODEL, "monitor", "ok", "3", action="retrain", years=[2023])
    for stage, outcome in [("train", "started"), ("train", "ok"), ("promote", "ok"), ("deploy", "started"),
                           ("deploy", "ok"), ("verify", "started")]:  # fmt: skip
        assert history.unfinished(MODEL), stage
        history.add_event(loop, NOW, MODEL, stage, outcome, "4", before="3")
    assert [one.stage for one in history.unfinished(MODEL)][-1] == "verify"
    assert history.unfinished(MODEL)[0].detail["years"] == [2023]
    assert history.unfinished("another") == []
    history.add_event(loop, NOW, MODEL, "verify", "ok", "4")
    assert history.unfinished(MODEL) == []


@pytest.mark.parametrize(
    ("stage", "outcome", "detail"),
    [("monitor", "ok", {"action": "keep"}), ("monitor", "failed", {}), ("train", "failed", {}),
     ("train", "refused", {}), ("train", "skipped", {}), ("promote", "refused", {}), ("rollback", "ok", {})],
)  # fmt: skip
def test_what_ends_a_loop(history: History, stage: str, outcome: str, detail: dict) -> None:
    history.add_event(new_loop(), NOW, MODEL, stage, outcome, **detail)
    assert history.unfinished(MODEL) == []


def test_a_failed_deployment_probation_or_rollback_does_not_end_it(history: History) -> None:
    for stage in ("deploy", "verify", "rollback"):
        history.add_event(new_loop(), NOW, MODEL, stage, "failed", "4")
        assert history.unfinished(MODEL), stage


def test_outcomes_are_counted(history: History) -> None:
    for days, outcome in [(2, "ok"), (1, "ok"), (0, "failed")]:
        history.add_event(new_loop(), NOW - timedelta(days=days), MODEL, "train", "started")
        history.add_event(new_loop(), NOW - timedelta(days=days), MODEL, "train", outcome)
    assert history.outcomes(MODEL) == {
        ("train", "ok"): (2, NOW - timedelta(days=1)), ("train", "failed"): (1, NOW),
    }  # fmt: skip


def test_it_shares_the_database_with_the_prediction_log(history: History, address: str) -> None:
    log = PredictionLog(address)
    log.create()
    log.write([prediction()])
    history.add_run(report(), judged=True, loop_id=new_loop())
    assert (log.count(), len(history.reports("dispatch"))) == (1, 1)
    log.check()
    log.close()
