"""A part of a log: whole accidents, evenly drawn, and outcomes beyond them; on both kinds of database."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from accidents.predictions.drawing import allot
from accidents.predictions.prediction_log import Label, Prediction, PredictionLog
from tests.predictions import prediction

pytest_plugins = ("tests.log_fixtures",)
NOW = datetime.now(UTC)
SINCE = NOW - timedelta(days=1)


def made(count: int) -> list[Prediction]:
    """So many accidents: a third without an id, a third with one prediction, a third with three."""
    rows = []
    for k in range(count):
        accident = None if k % 3 == 0 else f"a{k}"
        for repeated in range(3 if k % 3 == 2 else 1):
            when = NOW - timedelta(seconds=10 * (count - k) - repeated)
            request = f"{random.Random(f'{k} {repeated}').getrandbits(128):032x}"
            rows.append(prediction(request_id=request, created=when, accident_id=accident))
    return rows


def accidents(rows: list[Prediction]) -> list[list[Prediction]]:
    """The predictions of each, in the order of time."""
    groups: dict[str, list[Prediction]] = {}
    for row in rows:
        groups.setdefault(row.accident_id or row.request_id, []).append(row)
    return list(groups.values())


def of(row: Mapping[str, Any]) -> str:
    return str(row["accident_id"] or row["request_id"])


def test_all_of_a_small_window_is_read(log: PredictionLog) -> None:
    log.write(made(30))
    drawing = log.draw(SINCE, None, 1_000)
    assert (drawing.all, drawing.predictions) == (True, 50)


def test_accidents_are_drawn_whole_evenly_and_once(log: PredictionLog) -> None:
    rows = made(3_000)
    log.write(rows)
    log.write([prediction(created=NOW - timedelta(days=3)), prediction(accident_id="a5", key_name="another")])
    drawing = log.draw(SINCE, None, 1_000)
    assert drawing.predictions == 5_000
    read = list(log.read_drawn(drawing))
    requests = [row["request_id"] for row in read]
    assert len(requests) == len(set(requests))
    assert {row["drawn"] for row in read} == {True}
    assert drawing.bound is not None
    drawn = [
        row.request_id
        for accident in accidents(rows)
        if accident[-1].request_id < drawing.bound
        for row in accident
    ]
    assert set(requests) == set(drawn)
    assert 500 < sum(accident[-1].request_id in drawn for accident in accidents(rows)) < 700, (
        "a fifth of 3,000"
    )
    place = {request: number for number, request in enumerate(requests)}
    for accident in accidents(rows):
        places = [place[row.request_id] for row in accident if row.request_id in place]
        assert places == list(range(places[0], places[0] + len(accident))) if places else True, (
            "together, in order"
        )
    assert list(log.read_drawn(drawing)) == read, "the same again"


def test_outcomes_are_read_beyond_what_is_drawn_and_all_of_few(log: PredictionLog) -> None:
    rows = made(3_000)
    log.write(rows)
    of_accident = [Label(True, accident_id=f"a{k}", key_name="control-room") for k in range(1, 300, 3)]
    of_request = [Label(False, request_id=row.request_id) for row in rows[:400] if row.accident_id is None]
    log.add_labels([*of_accident, *of_request])
    read = list(log.read_drawn(log.draw(SINCE, None, 1_000)))
    told = {of(row): row["severe"] for row in read if row["severe"] is not None}
    expected = {f"a{k}": True for k in range(1, 300, 3)} | {
        str(label.request_id): False for label in of_request
    }
    assert told == expected
    without = {of(row) for row in read if row["drawn"]}
    drawn = sum(accident[-1].request_id < "33333333" for accident in accidents(rows))
    assert len(without) == drawn, "no more for the labels"
    further = [row for row in read if not row["drawn"]]
    assert all(row["severe"] is not None for row in further)


def test_outcomes_of_what_came_before_the_window_crowd_out_none_of_it(log: PredictionLog) -> None:
    """They come months later: most that are told in a window are of accidents before it."""
    rows = made(3_000)
    before = [prediction(created=NOW - timedelta(days=60)) for _ in range(2_000)]
    log.write([*before, *rows])
    own = [row for row in rows if row.accident_id is None][:100]
    log.add_labels([Label(True, request_id=row.request_id) for row in (*before, *own)])
    read = list(log.read_drawn(log.draw(SINCE, None, 1_000)))
    assert {row["request_id"] for row in read if row["severe"]} == {row.request_id for row in own}


def test_of_many_outcomes_half_as_many_as_are_drawn_are_enough(log: PredictionLog) -> None:
    rows = made(3_000)
    log.write(rows)
    log.add_labels([Label(True, request_id=row.request_id) for row in rows if row.accident_id is None])
    drawing = log.draw(SINCE, None, 1_000)
    assert drawing.labels == (500 - 0.2 * 1_000) / 1_000
    labelled = [row for row in log.read_drawn(drawing) if row["severe"] is not None]
    assert 350 < len(labelled) < 550


def test_the_last_so_many_are_a_window_too(log: PredictionLog) -> None:
    log.write(made(3_000))
    assert log.draw(None, 1_000, 2_000).all
    drawing = log.draw(None, 2_000, 1_000)
    assert (drawing.all, drawing.predictions) == (False, 2_000)
    assert min(row["created"] for row in log.read_drawn(drawing)) >= drawing.since


def test_what_is_predicted_meanwhile_takes_no_accident_out_of_the_drawing(log: PredictionLog) -> None:
    rows = [prediction(created=NOW - timedelta(seconds=k), accident_id=f"a{k}") for k in range(2_500)]
    log.write(rows)
    drawing = log.draw(SINCE, None, 2_000)
    assert drawing.bound is not None
    reading = log.read_drawn(drawing)
    first = next(reading)
    log.write([prediction(created=NOW, accident_id=row.accident_id) for row in rows])
    read = [row["request_id"] for row in (first, *reading)]
    assert sorted(read) == sorted(row.request_id for row in rows if row.request_id < drawing.bound)


def test_a_stage_that_few_ask_for_is_not_crowded_out_by_another(log: PredictionLog) -> None:
    """Both stages share the log, and one asks ten times as often."""
    ids = random.Random(7)

    def of_stage(stage: str, count: int) -> list[Prediction]:
        return [
            prediction(
                request_id=f"{ids.getrandbits(128):032x}",
                accident_id=f"{stage}{k}",
                created=NOW - timedelta(seconds=40_000 * k / count),
                stage=stage,
            )
            for k in range(count)
        ]

    log.write([*of_stage("on_scene", 400), *of_stage("dispatch", 4_000)])
    for stage, count in (("dispatch", 1_500), ("on_scene", 100)):
        log.add_labels(
            [Label(True, accident_id=f"{stage}{k}", key_name="control-room") for k in range(count)]
        )
    assert log.draw(SINCE, None, 1_000, "on_scene").all, "400 are fewer than 1,000"
    assert len(list(log.read(SINCE, stage="on_scene"))) == 400
    assert len(list(log.read(SINCE, last=300, stage="on_scene"))) == 300
    assert log.draw(None, 300, 1_000, "on_scene").all

    for last in range(50, 400, 50):
        assert log.draw(None, last, last, "on_scene").all, "whatever a random part says: they are no more"

    drawing = log.draw(SINCE, None, 250, "on_scene")
    assert 300 < drawing.predictions < 500, "about 400: a random part says so"
    read = list(log.read_drawn(drawing))
    assert {row["stage"] for row in read} == {"on_scene"}
    assert 170 < sum(row["drawn"] for row in read) < 330, "about 250"
    assert sum(row["severe"] is not None for row in read) > 60, "no fewer for the other's outcomes"
    assert log.draw(SINCE, None, 1_000).predictions == 4_400, "of all stages"


def test_what_is_drawn_of_a_mixed_log_is_what_reading_all_of_it_gives(log: PredictionLog) -> None:
    """Ids that callers share, accidents in several months and stages, drafts, and outcomes of all kinds."""
    ids = random.Random(11)
    rows = [
        prediction(
            request_id=f"{ids.getrandbits(128):032x}",
            accident_id=None if ids.random() < 0.2 else f"a{ids.randrange(1_000)}",
            created=NOW - timedelta(minutes=ids.choice([k % 5, ids.randrange(70 * 24 * 60)])),
            stage=ids.choice(["dispatch", "dispatch", "on_scene"]),
            model_version=str(ids.randrange(3)),
            key_name=ids.choice([None, "a", "b"]),
            session=ids.choice([None, None, f"s{ids.randrange(200)}"]),
        )
        for k in range(3_000)
    ]
    log.write(rows)
    log.add_labels([Label(ids.random() < 0.5, request_id=row.request_id, key_name="a") for row in rows[:150]])
    log.add_labels(
        [
            Label(ids.random() < 0.5, accident_id=f"a{k}", key_name=ids.choice(["a", "b", "control-room"]))
            for k in range(150)
        ]
    )
    since = NOW - timedelta(days=40)
    groups: dict[tuple[str | None, str], list[Mapping[str, Any]]] = {}
    for row in log.read(since, stage="dispatch"):
        groups.setdefault((row["accident_id"] and row["key_name"], of(row)), []).append(row)

    drawing = log.draw(since, None, 1_000, "dispatch")
    assert drawing.bound is not None
    assert drawing.labels == 1, "there are few outcomes"
    expected = []
    for group in groups.values():
        drawn = group[-1]["request_id"] < drawing.bound
        if drawn or any(row["severe"] is not None for row in group):
            expected += [{**row, "drawn": drawn} for row in group]
    assert len({row["severe"] for row in expected if row["drawn"]}) == 3, "with and without an outcome"
    assert sum(not row["drawn"] for row in expected) > 50

    def by_request(found: list[Any]) -> list[Any]:
        return sorted(found, key=lambda row: str(row["request_id"]))

    assert by_request(list(log.read_drawn(drawing))) == by_request(expected)


def asked_by(caller: str | None, count: int, ids: random.Random) -> list[Prediction]:
    return [
        prediction(
            request_id=f"{ids.getrandbits(128):032x}",
            created=NOW - timedelta(seconds=40_000 * k / count),
            key_name=caller,
        )
        for k in range(count)
    ]


ROOMS = {"lyon": 60, "lille": 60, "nice": 60, "brest": 60, None: 60}


def test_a_flood_leaves_the_others_in_what_is_drawn(log: PredictionLog) -> None:
    """Evenly drawn, 8 of each of the others were left, too few for a share of the flood to be left out."""
    ids = random.Random(3)
    counts = {"flood": 4_000, **ROOMS}
    for caller, count in counts.items():
        rows = asked_by(caller, count, ids)
        log.write(rows)
        log.add_labels([Label(k % 2 == 0, request_id=row.request_id) for k, row in enumerate(rows[::2])])
    assert log.draw(SINCE, None, 500).of_callers == {}
    drawing = log.draw(SINCE, None, 500, per_caller=0.2, enough=30)
    assert set(drawing.of_callers) == set(drawing.labels_of_callers) == {"flood"}
    read = list(log.read_drawn(drawing))
    assert len({row["request_id"] for row in read}) == len(read)
    drawn = Counter(row["key_name"] for row in read if row["drawn"])
    assert {name: drawn[name] for name in ROOMS} == ROOMS, "all of them: they are few"
    assert 60 < drawn["flood"] < 150, "about a fifth of 500"
    labelled = Counter(row["key_name"] for row in read if row["severe"] is not None)
    assert {name: labelled[name] for name in ROOMS} == dict.fromkeys(ROOMS, 30)
    assert labelled["flood"] < 150, "half of those drawn, and a fifth of 250 more"
    assert [row["request_id"] for row in log.read_drawn(drawing)] == [row["request_id"] for row in read]


def test_what_is_looked_through_beside_a_flood_is_bounded(log: PredictionLog) -> None:
    ids = random.Random(4)
    for caller, count in {"flood": 4_000, **ROOMS}.items():
        log.write(asked_by(caller, count, ids))
    drawing = log.draw(SINCE, None, 100, per_caller=0.2, enough=30)
    assert drawing.bound == f"{int(10 * 100 / 4_300 * 16**8):08x}", "ten times what is drawn"
    drawn = Counter(row["key_name"] for row in log.read_drawn(drawing))
    assert drawn.total() - drawn["flood"] > 2 * drawn["flood"]


def test_beside_a_flood_no_outcome_of_another_caller_is_taken_for_drawn(log: PredictionLog) -> None:
    """Whose bound would lie above what is looked through at all is drawn by that bound, as all others."""
    ids = random.Random(5)
    for caller, count in {"flood": 20_000, "b": 300, "c": 160}.items():
        rows = asked_by(caller, count, ids)
        log.write(rows)
        if caller != "flood":
            log.add_labels([Label(k % 2 == 0, request_id=row.request_id) for k, row in enumerate(rows)])
    drawing = log.draw(SINCE, None, 300, per_caller=0.2, enough=30)
    assert drawing.bound is not None
    assert all(bound < drawing.bound for bound in drawing.of_callers.values())


def test_callers_who_keep_to_their_share_are_drawn_evenly() -> None:
    rooms = dict.fromkeys("abcde", 1_000.0)
    assert allot(rooms, 500, 0.2, 30) == (0.1, {})
    assert allot({None: 5_000.0}, 500, 0.2, 30) == (0.1, {}), "one caller has nobody to be compared with"
    assert allot({None: 4_980.0, "a": 10.0, "b": 10.0}, 500, 0.2, 30) == (0.1, {}), "nor with a handful"
    share, less = allot({"a": 9_000.0, "b": 1_000.0}, 500, 0.2, 30)
    assert (share, less) == (0.25, {"a": 250 / 9_000}), "of two each half"


def test_what_is_dated_ahead_is_in_no_window_that_ends_before(log: PredictionLog) -> None:
    ahead = [prediction(created=NOW + timedelta(days=400)) for _ in range(2_000)]
    log.write([*made(300), *ahead])
    until = NOW + timedelta(hours=1)
    assert log.count_from(until, "dispatch") == 2_000
    assert log.draw(SINCE, None, 1_000, until=until).predictions == 500
    assert log.draw(None, 100, 1_000, until=until).since < until
    drawing = log.draw(SINCE, None, 400, until=until)
    assert max(row["created"] for row in log.read_drawn(drawing)) < until
