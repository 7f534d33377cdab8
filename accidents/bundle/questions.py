"""What to ask next: of all that is not known of an accident, what would move its probability most.

A question is something that a caller can be asked in one breath. What its answer would change is found by
trying: the typical answers, drawn from the accidents that were learnt from, are put in one after another, and
the mean change of P(severe) is the question's value. Answers are tried as if they did not depend on what is
known already.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from accidents.features.features_by_stage import features_of

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Predict = Callable[[Floats], Doubles]

FILE = "questions.json"
# Features that one answer tells together; every other feature is a question of its own.
TOGETHER: Mapping[str, tuple[str, ...]] = {
    "place": ("latitude", "longitude", "department", "commune"),
    "vehicle_types": (
        "bicycles", "mopeds", "motorcycles", "cars", "vans", "lorries", "public_transport", "machines",
        "lightest", "heaviest",
    ),
    "fixed_obstacles": (
        "hit_parked", "hit_tree", "hit_barrier", "hit_wall", "hit_post", "hit_kerb", "hit_ditch", "hit_other",
        "left_road", "obstacle_of_lightest", "obstacle_of_heaviest",
    ),
    "moving_obstacles": ("hit_vehicle", "hit_animal", "hit_train", "hit_nothing"),
    "impacts": (
        "front_impacts", "rear_impacts", "side_impacts", "rollovers", "no_impacts",
        "impact_of_lightest", "impact_of_heaviest",
    ),
    "users": ("people", "pedestrians", "passengers", "women", "rear_seats"),
    "ages": ("oldest", "youngest", "oldest_pedestrian", "youngest_driver", "oldest_driver"),
}  # fmt: skip
_ANSWERS = 8  # typical ones that are tried
_TRIED = 6  # questions of one accident that are tried: those that move most on average
_ROWS = 500  # of the reference, from which that average comes


@dataclass(frozen=True)
class Question:
    """Something not known that can be asked.

    Attributes
    ----------
    name : one of `TOGETHER`, or a feature.
    at : positions of its features in the feature matrix, [k].
    answers : typical values of these features, float32 [_ANSWERS, k].
    """

    name: str
    at: tuple[int, ...]
    answers: Floats

    def is_open(self, row: Floats) -> bool:
        """Whether nothing of it is known of a row of features."""
        return bool(np.isnan(row[list(self.at)]).all())

    def answered(self, row: Floats) -> Floats:
        """Return the row once with each typical answer, float32 [_ANSWERS, features]."""
        rows = np.repeat(row[None, :], len(self.answers), axis=0)
        rows[:, list(self.at)] = self.answers
        return rows


@dataclass(frozen=True)
class Questions:
    """The questions of a model, those that matter most on average first."""

    asked: Sequence[Question]

    @property
    def names(self) -> list[str]:
        """Names of the questions, in their order."""
        return [question.name for question in self.asked]

    def changes(self, predict: Predict, matrix: Floats) -> Doubles:
        """Mean absolute change of P(severe) that each question would bring, float64 [n, len(asked)].

        0 where the answer is known, and beyond the first few open questions of a row.

        Parameters
        ----------
        predict : P(severe) float64 [m] of rows of features.
        matrix : float32 [n, features], NaN for what is not known.
        """
        changes = np.zeros((len(matrix), len(self.asked)))
        for row, into in zip(matrix, changes, strict=True):
            tried = [k for k, question in enumerate(self.asked) if question.is_open(row)][:_TRIED]
            if tried:
                p = predict(np.concatenate([row[None, :], *(self.asked[k].answered(row) for k in tried)]))
                into[tried] = np.abs(p[1:] - p[0]).reshape(len(tried), _ANSWERS).mean(axis=1)
        return changes

    def write(self, folder: Path) -> None:
        """Write them into a bundle's folder; `read` reads them back."""
        content = {
            question.name: [list(map(_stated, row)) for row in question.answers.tolist()]
            for question in self.asked
        }
        (folder / FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, features: Sequence[str]) -> Questions:
        """Return what a bundle asks; nothing if it is from before there were questions."""
        try:
            content: Mapping[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(())
        return cls([_question(name, features, answers) for name, answers in content.items()])

    @classmethod
    def draw(cls, predict: Predict, reference: Floats, stage: str) -> Questions:
        """Return the questions of a stage, their answers from rows of the reference, float32 [n, features].

        What the reference never states cannot be asked.
        """
        features = [feature.name for feature in features_of(stage)]
        drawn = []
        for name in _names(features):
            at = _positions(name, features)
            known = reference[:, at][~np.isnan(reference[:, at]).all(axis=1)]
            if len(known) >= _ANSWERS:
                drawn.append(Question(name, at, _typical(known)))
        rows = reference[:_ROWS]
        predicted = predict(rows)
        return cls(sorted(drawn, key=lambda question: -_moves(question, predict, rows, predicted)))


def _names(features: Sequence[str]) -> list[str]:
    """Questions about features, in the features' order."""
    of = {member: name for name, members in TOGETHER.items() for member in members}
    return list(dict.fromkeys(of.get(feature, feature) for feature in features))


def _positions(name: str, features: Sequence[str]) -> tuple[int, ...]:
    return tuple(features.index(feature) for feature in TOGETHER.get(name, (name,)) if feature in features)


def _question(name: str, features: Sequence[str], answers: Any) -> Question:
    return Question(name, _positions(name, features), np.array(answers, dtype=np.float32))


def _typical(known: Floats) -> Floats:
    """Rows at equal steps through all, in order of their values: common ones more than once."""
    ordered = known[np.lexsort(known.T[::-1])]
    typical: Floats = ordered[((np.arange(_ANSWERS) + 0.5) * len(ordered) / _ANSWERS).astype(int)]
    return typical


def _moves(question: Question, predict: Predict, rows: Floats, predicted: Doubles) -> float:
    """How far P(severe) moves on average when the answer is told."""
    hidden = rows.copy()
    hidden[:, list(question.at)] = np.nan
    return float(np.abs(predict(hidden) - predicted).mean())


def _stated(value: float) -> float | None:
    return None if math.isnan(value) else value
