"""What to ask next: the question whose answer would move the probability most."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accidents.bundle.questions import TOGETHER, Questions
from accidents.features import feature_names
from accidents.scoring.next_question import best

NAMES = feature_names("on_scene")
AT = {name: k for k, name in enumerate(NAMES)}


def predict(matrix: np.ndarray) -> np.ndarray:
    """Speed counts, a pedestrian counts more; an unknown speed is as 50 km/h."""
    speed = np.nan_to_num(matrix[:, AT["speed_limit"]], nan=50.0)
    pedestrian = np.nan_to_num(matrix[:, AT["pedestrian"]], nan=0.0)
    lanes = np.nan_to_num(matrix[:, AT["lanes"]], nan=2.0)
    return 0.2 + (speed - 50) / 400 + 0.5 * pedestrian + 0.0001 * lanes


@pytest.fixture
def reference() -> np.ndarray:
    rng = np.random.default_rng(3)
    rows = rng.integers(1, 5, (400, len(NAMES))).astype(np.float32)
    rows[:, AT["speed_limit"]] = np.tile([30, 50, 50, 80], 100)
    rows[:, AT["pedestrian"]] = np.arange(400) % 4 == 0
    rows[:, [AT["department"], AT["commune"], AT["weekday"]]] = np.nan  # not in these files
    rows[::2, AT["oldest_pedestrian"]] = np.nan  # nobody's age
    return rows


@pytest.fixture
def questions(reference: np.ndarray) -> Questions:
    return Questions.draw(predict, reference, "on_scene")


def asked(questions: Questions, **known: float) -> tuple[str, float] | None:
    row = np.full((1, len(NAMES)), np.nan, dtype=np.float32)
    for name, value in known.items():
        row[0, AT[name]] = value
    return best(questions.names, questions.changes(predict, row)[0].tolist())


def test_the_question_that_moves_most_is_asked_with_its_value(questions: Questions):
    name, change = asked(questions) or ("", 0)
    assert name == "pedestrian"
    assert change == pytest.approx(0.5 / 4)  # a quarter of the reference hit one
    name, change = asked(questions, pedestrian=0) or ("", 0)
    assert name == "speed_limit"
    assert change == pytest.approx((20 + 0 + 0 + 30) / 4 / 400)


def test_what_is_known_is_never_asked_nor_what_would_change_nothing(questions: Questions):
    assert asked(questions, pedestrian=1, speed_limit=80) is None
    assert asked(questions, **dict.fromkeys(NAMES, 1.0)) is None


def test_partly_known_is_known(questions: Questions):
    row = np.full((1, len(NAMES)), np.nan, dtype=np.float32)
    row[0, AT["cars"]] = 1
    vehicle_types = questions.names.index("vehicle_types")
    assert not questions.asked[vehicle_types].is_open(row[0])


def test_only_what_the_reference_states_can_be_asked(questions: Questions):
    assert "weekday" not in questions.names
    assert {"place", "ages", "speed_limit"} <= set(questions.names)
    members = {member for members in TOGETHER.values() for member in members}
    assert not members & set(questions.names)


def test_those_that_move_most_come_first(questions: Questions):
    assert questions.names[:3] == ["pedestrian", "speed_limit", "lanes"]


def test_they_are_written_as_read(questions: Questions, tmp_path: Path):
    questions.write(tmp_path)
    again = Questions.read(tmp_path, NAMES)
    assert again.names == questions.names
    for one, other in zip(questions.asked, again.asked, strict=True):
        assert one.at == other.at
        np.testing.assert_array_equal(one.answers, other.answers)
    assert "NaN" not in (tmp_path / "questions.json").read_text(encoding="utf-8")


def test_a_bundle_of_before_asks_nothing(tmp_path: Path):
    assert Questions.read(tmp_path, NAMES).names == []
    assert best([], []) is None
