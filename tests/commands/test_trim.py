"""Each look removes old runs and old predictions, on each kind of database; neither keeps the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from accidents.params import KeepSettings
from accidents.predictions import months
from accidents.predictions import retention as prediction_retention
from accidents.predictions.leases import LeaseLostError
from accidents.predictions.prediction_log import Label, PredictionLogError
from accidents.predictions.store import LOOP, PredictionStore
from commands import trim as module
from commands.trim import trim
from pipelines import retention
from tests.predictions import connected, prediction

pytest_plugins = ("tests.log_fixtures",)
KEEP = KeepSettings(prediction_days=100, labelled_days=300)
HELD: Any = SimpleNamespace(require=lambda: None)


@pytest.fixture
def store(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PredictionStore]:
    """A store with the months of a year, and no runs beside it; it is in use."""
    made = empty(address, monkeypatch)
    made.log.write([prediction(created=datetime.now(UTC), accident_id="now")])
    monkeypatch.setattr(prediction_retention, "PAUSE", timedelta(days=10_000))
    yield made
    made.close()


def empty(address: str, monkeypatch: pytest.MonkeyPatch) -> PredictionStore:
    monkeypatch.setattr(retention, "trim", lambda keep: None)
    made = PredictionStore(address)
    made.create()
    if made.shared:
        with connected(address) as connection:
            for count in range(1, 14):
                for table in months.TABLES_BY_MONTH:
                    months.make(connection, table, months.later(months.month_of(datetime.now(UTC)), -count))
            connection.commit()
    return made


def write(store: PredictionStore, *days: int) -> list[str]:
    """Predictions so many days old, each of an accident of its own; their ids."""
    made = [prediction(created=datetime.now(UTC) - timedelta(days=age), accident_id=f"{age}") for age in days]
    store.log.write(made)
    return [one.request_id for one in made]


def left(store: PredictionStore) -> set[str]:
    return {row["request_id"] for row in store.log.read() if row["accident_id"] != "now"}


CLOCKS: dict[str, tuple[Sequence[int], Sequence[int]]] = {  # days from now: of what is there, and what stays
    "set forward by 400 days": (range(400, 600, 10), range(400, 500, 10)),
    "set forward, and an API has written under it": ([0, *range(400, 600, 10)], [0, *range(400, 500, 10)]),
    "some that it has dated ahead, and right again": ([-400, *range(0, 200, 10)], [-400, *range(0, 100, 10)]),
    "right, after a pause, for eight days": ([0, 4, 8, 80, 120], [0, 4, 8, 80]),
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_clock_that_is_ahead_makes_nothing_old(
    clock: str, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log of a machine whose clock is set forward is that of one whose predictions are all long ago."""
    there, stay = CLOCKS[clock]
    store = empty(address, monkeypatch)
    write(store, *there)
    trim(KEEP, store, HELD)
    kept = {int(row["accident_id"]) for row in store.log.read()}
    assert kept >= set(stay)
    if store.shared:
        assert len(kept) <= len(stay) + 4, "whole months, so that some stay a month longer"
    else:
        assert kept == set(stay)
    told = capsys.readouterr().out
    assert ("Predictions held back" in told) == (400 in there), told
    if 400 in there and not store.shared:
        assert "held back: 10. They are too old by this machine's clock" in told
        assert sum(store.log.forget(module.ages_of(KEEP))) == 10, "as `clean` does, which asks"
    store.close()


def test_what_is_too_old_goes_and_is_told_and_what_has_an_outcome_stays_longer(
    store: PredictionStore, capsys: pytest.CaptureFixture[str]
) -> None:
    young, labelled, *_ = write(store, 10, 200, 201, 202, 350)
    store.log.add_labels([Label(True, accident_id=age, key_name="control-room") for age in ("200", "350")])
    with store.lease(LOOP, 60) as lease:
        trim(KEEP, store, lease)
        assert left(store) == {young, labelled}
        assert capsys.readouterr().out == "Predictions older than params.yaml keeps, removed: 3.\n"
        trim(KEEP, store, lease)
        trim(KeepSettings(prediction_days=None, labelled_days=None), store, lease)
    assert left(store) == {young, labelled}
    assert capsys.readouterr().out == ""


@pytest.mark.server
@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
def test_a_month_of_which_nothing_is_kept_is_dropped(store: PredictionStore, address: str) -> None:
    write(store, 10, 350)
    month = months.name_of("predictions", months.month_of(datetime.now(UTC) - timedelta(days=350)))
    found = f"SELECT to_regclass('{month}')"
    with connected(address) as connection:
        assert connection.exec_driver_sql(found).scalar() == month
    trim(KEEP, store, HELD)
    with connected(address) as connection:
        assert connection.exec_driver_sql(found).scalar() is None


@pytest.mark.parametrize("address", ["sqlite"], indirect=True)
def test_years_of_predictions_go_with_several_looks(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prediction_retention, "AT_ONCE", 2)
    monkeypatch.setattr(module, "FORGET_SECONDS", -1)
    write(store, 200, 201, 202)
    for removed, count in ((2, 1), (1, 0)):
        trim(KEEP, store, HELD)
        assert f"removed: {removed}." in capsys.readouterr().out
        assert len(left(store)) == count


@pytest.mark.server
@pytest.mark.parametrize("address", ["postgresql"], indirect=True)
def test_months_of_which_nothing_goes_end_with_the_lease_too(store: PredictionStore) -> None:
    """All that is left of them has an outcome: each is looked through, every time."""

    def asked() -> None:
        raise LeaseLostError("another one has taken its place")

    write(store, 150, 200)
    store.log.add_labels([Label(True, accident_id=age, key_name="control-room") for age in ("150", "200")])
    lease: Any = SimpleNamespace(require=asked)
    with pytest.raises(LeaseLostError):
        trim(KEEP, store, lease)
    assert len(left(store)) == 2


@pytest.mark.parametrize("address", ["sqlite"], indirect=True)
def test_what_cannot_be_removed_is_told_and_the_other_goes(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PredictionLogError("It is locked.\nMore of it.")

    write(store, 200)
    monkeypatch.setattr(retention, "trim", refuse)
    trim(KEEP, store, HELD)
    assert left(store) == set()
    assert "Old runs could not be removed: It is locked. The look goes on." in capsys.readouterr().out
    monkeypatch.setattr(store.log, "forget", refuse)
    trim(KEEP, store, HELD)
    assert "Old predictions could not be removed: It is locked. The look goes on." in capsys.readouterr().out


@pytest.mark.parametrize("address", ["sqlite"], indirect=True)
def test_a_loop_whose_place_another_has_taken_removes_no_more(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost() -> None:
        raise LeaseLostError("another one has taken its place")

    monkeypatch.setattr(prediction_retention, "AT_ONCE", 1)
    write(store, 200, 201)
    lease: Any = SimpleNamespace(require=lost)
    with pytest.raises(LeaseLostError):
        trim(KEEP, store, lease)
    assert len(left(store)) == 1
