"""Cells of the raw files: what both forms have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from accidents.data.sources.sample.tables import Columns

NBSP = "\u00a0"
Values = npt.NDArray[Any] | list[Any]

# Share of planted flaws, here and in the two forms. None makes a row unusable: a reader should blank or note
# the cell and keep the row.
WRONG_BIRTH_YEAR = 0.0005  # a person of more than 120 years
WRONG_LANES = 0.0003  # 50 lanes
BLANK_LIGHT = 0.0005


def text(pattern: str, values: Values) -> npt.NDArray[Any]:
    """Text of each value; distinct values are formatted once."""
    distinct, where = np.unique(values, return_inverse=True)
    return np.array([pattern % value for value in distinct.tolist()])[where]


def translate(mapping: dict[Any, Any], values: npt.NDArray[Any], default: Any = None) -> npt.NDArray[Any]:
    """Look each value up in `mapping`; `default` (one value, or one for each) where there is none."""
    distinct, where = np.unique(values, return_inverse=True)
    translated = np.array(
        [mapping.get(value, -1 if default is not None else value) for value in distinct.tolist()]
    )[where]
    return translated if default is None else np.where(np.isin(values, list(mapping)), translated, default)


def flaw(rng: np.random.Generator, values: npt.NDArray[Any], share: float, wrong: Any) -> npt.NDArray[Any]:
    """`values` with a `share` of them replaced."""
    hit = rng.random(len(values)) < share
    return np.where(hit, wrong, values if isinstance(wrong, int) else text("%s", values))


def optional(values: npt.NDArray[Any], missing: str = "") -> npt.NDArray[Any]:
    """Text, with `missing` for 0."""
    return np.where(values == 0, missing, text("%d", values))


def stated(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Text as written since 2019: " -1" for what is not stated."""
    return optional(values, " -1")


def grouped(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers with no-break spaces between groups of three digits."""
    return np.array([f"{value:,}".replace(",", NBSP) for value in values.tolist()])


def road_number(rng: np.random.Generator, a: Columns) -> npt.NDArray[Any]:
    """Return the number of the road as text, empty for two in five."""
    unnamed = rng.random(len(a["hour"])) < 0.4
    return np.where(unnamed, "", text("%d", a["road_number"]))


def birth_years(rng: np.random.Generator, year: int, u: Columns) -> npt.NDArray[Any]:
    """Year of birth of each user as text, a few of them wrong."""
    born = year - u["age"]
    return text("%d", np.where(rng.random(len(born)) < WRONG_BIRTH_YEAR, 1870, born))


def vehicle_labels(rng: np.random.Generator, v: Columns, numbered: float, accidents: int) -> npt.NDArray[Any]:
    """A01, B01 ...; in a share `numbered` of accidents A01, B02 ...; Z for a vehicle that fled."""
    letter = np.where(v["fled"], 25, np.minimum(v["position"], 24))
    counted = (rng.random(accidents) < numbered)[v["accident"]] & ~v["fled"]
    number = np.where(counted, v["position"] + 1, 1)
    distinct, where = np.unique(letter * 100 + number, return_inverse=True)
    return np.array([f"{chr(65 + value // 100)}{value % 100:02d}" for value in distinct.tolist()])[where]


def users_kept(u: Columns, keep: npt.NDArray[np.bool_]) -> Columns:
    """Columns of the users of whom `keep` is true."""
    return {name: values[keep] for name, values in u.items()}
