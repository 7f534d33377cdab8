"""Labels of predictions: what counts, what each was, and many at once."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from accidents.predictions.labels import MAX_CHANGES
from accidents.predictions.prediction_log import Label, PredictionLog, PredictionLogError
from tests.postgres import PostgresServer
from tests.predictions import connected, prediction

pytest_plugins = ("tests.log_fixtures",)  # the fixtures `address`, `log`, `postgres`


def severe(log: PredictionLog) -> list[bool | None]:
    return [row["severe"] for row in log.read()]


def test_a_label_by_request(log: PredictionLog) -> None:
    one, other = prediction(0), prediction(1)
    log.write([one, other])
    before = datetime.now(UTC)
    assert log.add_labels([Label(True, request_id=one.request_id)]) == ["recorded"]
    first, second = log.read()
    assert (first["severe"], second["severe"]) == (True, None)
    assert before <= first["labelled"] <= datetime.now(UTC)


def test_a_label_by_accident_is_for_all_of_its_predictions_also_later_ones(log: PredictionLog) -> None:
    log.write(
        [prediction(0, accident_id="A"), prediction(1, accident_id="B"), prediction(2, accident_id="A")]
    )
    assert log.add_labels([Label(True, accident_id="A")]) == ["recorded"]
    log.write([prediction(3, accident_id="A")])
    assert severe(log) == [True, None, True, True]


def test_each_label_says_what_it_was(log: PredictionLog) -> None:
    one = prediction(0)
    log.write([one, prediction(1, accident_id="A")])
    by_request = [Label(value, request_id=one.request_id) for value in (True, True, False, False, True)]
    by_accident = [Label(value, accident_id="A") for value in (False, False, True)]
    unknown = [Label(True, request_id="0" * 32), Label(True, accident_id="a")]
    assert log.add_labels([*by_request, *by_accident, *unknown]) == [
        *("recorded", "unchanged", "corrected", "unchanged", "corrected"),
        *("recorded", "unchanged", "corrected"),
        *("unknown", "unknown"),
    ]
    assert severe(log) == [True, True]


def test_the_newest_label_counts_whichever_way_it_came(log: PredictionLog) -> None:
    one, two = prediction(0, accident_id="A"), prediction(1, accident_id="A")
    log.write([one, two])
    steps = [
        (Label(True, request_id=one.request_id), "recorded", [True, None]),
        (Label(True, accident_id="A"), "recorded", [True, True]),
        (Label(True, request_id=two.request_id), "unchanged", [True, True]),
        (Label(False, request_id=two.request_id), "corrected", [True, False]),
        (Label(True, accident_id="A"), "corrected", [True, True]),
        (Label(True, accident_id="A"), "unchanged", [True, True]),
    ]
    for label, status, then in steps:
        assert log.add_labels([label]) == [status]
        assert severe(log) == then


def test_the_history_of_labels_is_kept(address: str, log: PredictionLog) -> None:
    one = prediction(accident_id="A")
    log.write([one])
    log.add_labels([Label(value, accident_id="A", key_name="statistics") for value in (True, True, False)])
    log.add_labels([Label(True, request_id=one.request_id, key_name="ministry", trusted=True)])
    with connected(address) as connection:
        rows = connection.execute(text("SELECT severe, accident_id, key_name FROM labels ORDER BY id"))
        assert [tuple(row) for row in rows] == [
            (1, "A", "statistics"),
            (0, "A", "statistics"),
            (1, "A", "ministry"),
        ]


def test_an_outcome_by_the_request_of_a_draft_is_one_of_what_counts(log: PredictionLog) -> None:
    first, last = prediction(0, session="s"), prediction(1, session="s", accident_id="A")
    log.write([first, last, prediction(2, session="s", key_name="another"), prediction(3, session="t")])
    assert log.add_labels([Label(True, request_id=first.request_id)]) == ["recorded"]
    assert severe(log) == [True, None, None]
    assert log.add_labels([Label(False, request_id=last.request_id)]) == ["corrected"]
    assert severe(log) == [False, None, None]


def test_an_accident_id_is_its_callers_own(log: PredictionLog) -> None:
    log.write(
        [prediction(0, accident_id="A", key_name="lyon"), prediction(1, accident_id="A", key_name="lille")]
    )
    assert log.add_labels([Label(True, accident_id="A", key_name="lille")]) == ["recorded"]
    assert severe(log) == [None, True]
    assert log.add_labels([Label(False, accident_id="A", key_name="lyon")]) == ["recorded"]
    assert severe(log) == [False, True]


def test_who_has_no_accident_of_that_id_means_that_of_its_first_caller(log: PredictionLog) -> None:
    log.write(
        [prediction(1, accident_id="A", key_name="lille"), prediction(0, accident_id="A", key_name="lyon")]
    )
    assert log.add_labels([Label(True, accident_id="A", key_name="hospital")]) == ["recorded"]
    assert severe(log) == [True, None]


def test_an_outcome_is_changed_by_who_gave_it_or_by_who_may_correct(log: PredictionLog) -> None:
    one, two = (
        prediction(0, accident_id="A", key_name="lyon"),
        prediction(1, accident_id="A", key_name="lyon"),
    )
    log.write([one, two])
    whole = {"accident_id": "A"}
    steps = [
        ("lyon", {"request_id": one.request_id}, False, "recorded", [False, None]),
        ("lille", {"request_id": one.request_id}, True, "refused", [False, None]),
        ("lille", {"request_id": one.request_id}, False, "unchanged", [False, None]),
        ("lille", whole, False, "refused", [False, None]),  # it would become the giver of lyon's, too
        ("lille", {"request_id": two.request_id}, True, "recorded", [False, True]),
        ("lyon", {"request_id": two.request_id}, False, "refused", [False, True]),
        ("lyon", {"request_id": one.request_id}, True, "corrected", [True, True]),
    ]
    for giver, what, value, status, then in steps:
        assert log.add_labels([Label(value, key_name=giver, **what)]) == [status], (giver, what)
        assert severe(log) == then
    assert log.add_labels([Label(False, key_name="ministry", trusted=True, **whole)]) == ["corrected"]
    assert log.add_labels([Label(True, key_name="lyon", **whole)]) == ["refused"]
    assert [(row["severe"], row["labelled_by"], row["label_trusted"]) for row in log.read()] == [
        (False, "ministry", True)
    ] * 2


def test_what_who_may_correct_confirms_is_theirs(log: PredictionLog) -> None:
    log.write([prediction(accident_id="A", key_name="lyon")])
    steps = [
        ("lyon", False, True, "recorded"),
        ("ministry", True, True, "recorded"),
        ("ministry", True, True, "unchanged"),
        ("lyon", False, True, "unchanged"),
        ("lyon", False, False, "refused"),
    ]
    for giver, trusted, value, status in steps:
        label = Label(value, accident_id="A", key_name=giver, trusted=trusted)
        assert log.add_labels([label]) == [status], (giver, value)
    (row,) = log.read()
    assert (row["severe"], row["labelled_by"], row["label_trusted"]) == (True, "ministry", True)


def test_what_a_label_reads_and_what_one_outcome_leaves_behind_is_bounded(
    address: str, log: PredictionLog
) -> None:
    log.write([prediction(accident_id="A")])
    flips = [Label(k % 2 == 0, accident_id="A") for k in range(MAX_CHANGES + 21)]
    statuses = [status for flip in flips for status in log.add_labels([flip])]
    assert statuses == ["recorded", *["corrected"] * MAX_CHANGES, *["refused", "unchanged"] * 10]
    assert log.add_labels([Label(False, accident_id="A", key_name="ministry", trusted=True)]) == ["corrected"]
    with connected(address) as connection:
        assert connection.scalar(text("SELECT count(*) FROM labels")) == MAX_CHANGES + 2
        assert connection.execute(text("SELECT key_name FROM labels WHERE newest")).all() == [("ministry",)]


def test_all_that_was_said_of_accidents_with_an_id_by_whom_in_order(log: PredictionLog) -> None:
    of_id, without = prediction(accident_id="A"), prediction()
    log.write([of_id, without])
    log.add_labels([Label(True, accident_id="A", key_name="control-room")])
    log.add_labels([Label(True, request_id=without.request_id, key_name="control-room")])
    log.add_labels([Label(False, request_id=of_id.request_id, key_name="admin", trusted=True)])
    assert list(log.labels()) == [("A", "control-room", True), ("A", "admin", False)]


def test_a_label_names_one_thing() -> None:
    for wrong in ({}, {"request_id": "a", "accident_id": "b"}):
        with pytest.raises(PredictionLogError, match="either"):
            Label(True, **wrong)
    with pytest.raises(PredictionLogError, match="accident_id"):
        Label(True, accident_id="a\0")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_statuses_and_labels_agree_with_a_plain_model(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any order of labels, in any batches: the log says and gives what a list of assignments would."""
    log = PredictionLog(f"sqlite:///{tmp_path_factory.mktemp('log')}/p.db")
    log.create()
    made = [prediction(place, accident_id=accident) for place, accident in enumerate("AAB")] + [prediction(3)]
    log.write(made)
    now: list[bool | None] = [None] * len(made)
    targets: list[dict[str, str]] = [{"request_id": one.request_id} for one in made]
    targets += [{"accident_id": "A"}, {"accident_id": "B"}]
    spoken_of = [[0], [1], [2], [3], [0, 1], [2]]
    for batch in data.draw(
        st.lists(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=5), max_size=4)
    ):
        statuses = log.add_labels([Label(value, **targets[target]) for target, value in batch])
        for (target, value), status in zip(batch, statuses, strict=True):
            before = [now[place] for place in spoken_of[target]]
            if len(before) == 1 and target < len(made):
                assert status == {None: "recorded", value: "unchanged", not value: "corrected"}[before[0]]
            if (not value) in before:
                assert status == "corrected"
            if status == "unchanged":
                assert set(before) == {value}
            for place in spoken_of[target]:
                now[place] = value
    assert severe(log) == now
    log.close()


def test_the_same_label_at_once_is_recorded_once(log: PredictionLog) -> None:
    made = [prediction(minute, accident_id=f"A{minute}") for minute in range(10)]
    log.write(made)
    start = threading.Barrier(8)

    def label_all(worker: int) -> list[str]:
        start.wait()
        by_accident = worker % 2 == 0
        return [
            status
            for one in made
            for status in log.add_labels(
                [
                    Label(True, accident_id=one.accident_id)
                    if by_accident
                    else Label(True, request_id=one.request_id)
                ]
            )
        ]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(label_all, range(8)))
    for of_one in zip(*answers, strict=True):
        # The accident's label may follow its prediction's: both are the first of their kind.
        assert of_one.count("recorded") in {1, 2}
        assert of_one.count("recorded") + of_one.count("unchanged") == 8
    assert severe(log) == [True] * 10


def test_opposite_labels_at_once_are_put_in_an_order(address: str, log: PredictionLog) -> None:
    one = prediction()
    log.write([one])
    start = threading.Barrier(6)

    def label(value: bool) -> list[str]:
        start.wait()
        return [log.add_labels([Label(value, request_id=one.request_id)])[0] for _ in range(10)]

    with ThreadPoolExecutor(6) as pool:
        answers = list(itertools.chain(*pool.map(label, [True, False] * 3)))
    assert answers.count("recorded") == 1
    with connected(address) as connection:
        history = [bool(row[0]) for row in connection.execute(text("SELECT severe FROM labels ORDER BY id"))]
    assert len(history) == 60 - answers.count("unchanged")
    assert all(former != latter for former, latter in itertools.pairwise(history))
    assert severe(log) == history[-1:]


@pytest.mark.server
def test_labels_do_not_wait_for_the_vacuum_of_their_table(postgres: PostgresServer) -> None:
    address = postgres.new_database()
    with closing(PredictionLog(address)) as log, connected(address) as vacuum:
        log.create()
        log.write([prediction(accident_id="A")])
        vacuum.execute(text("LOCK TABLE labels IN SHARE UPDATE EXCLUSIVE MODE"))  # as VACUUM and ANALYZE do
        assert log.add_labels([Label(True, accident_id="A")]) == ["recorded"]


def test_more_labels_than_a_statement_has_room_for(log: PredictionLog) -> None:
    made = [prediction(minute) for minute in range(2500)]
    log.write(made)
    labels = [Label(True, request_id=one.request_id) for one in made]
    assert log.add_labels([*labels, labels[0]]) == ["recorded"] * 2500 + ["unchanged"]
