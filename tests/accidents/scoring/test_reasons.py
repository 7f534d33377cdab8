"""Reasons: what is summed, how it is ordered, and that every phrase is a whole one."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accidents.features import build_one, feature_names, features_of
from accidents.scoring.reasons import Reason, top_reasons
from accidents.training.place_encoder import PLACE as PLACE_FEATURES
from accidents.training.place_encoder import PlaceEncoder
from accidents.training.trained_model import tree_columns
from tests.conftest import ROOT

ACCIDENT = {
    "year": 2026, "month": 11, "day": 22, "hour": 18, "light": 3, "built_up": 1, "department": "2A",
    "speed_limit": 80, "vehicles": [{"category": 33}, {"category": 7}], "users": [{"role": 3}],
}  # fmt: skip
COLUMNS = tree_columns(feature_names("dispatch"))


def reasons(
    accident: dict[str, Any], weights: dict[str, float], stage: str = "dispatch", **options: Any
) -> list[Reason]:
    columns = tree_columns(feature_names(stage))
    contributions = [weights.get(column, 0.0) for column in columns]
    assert weights.keys() <= set(columns)
    return top_reasons(build_one(accident, stage), columns, [*contributions, -0.5], **options)


def test_the_heaviest_come_first_and_the_weightless_not_at_all():
    given = {"pedestrian": 0.5, "speed_limit": -0.9, "light": 0.1, "hour": 0.0}
    found = reasons(ACCIDENT, given)
    assert [(r.feature, r.value, r.weight) for r in found] == [
        ("speed_limit", 80, -0.9), ("pedestrian", 1, 0.5), ("light", 3, 0.1)
    ]  # fmt: skip
    assert reasons(ACCIDENT, given, count=1) == found[:1]
    assert found[1].to_dict() == {
        "feature": "pedestrian", "value": 1.0, "text": "a pedestrian is hit", "weight": 0.5
    }  # fmt: skip


@pytest.mark.parametrize(
    ("accident", "english", "french"),
    [
        ({"department": "2A"}, "accident history of this place (Corse-du-Sud)",
         "historique des accidents en ce lieu (Corse-du-Sud)"),
        ({"department": "07"}, "accident history of this place (Ardèche)",
         "historique des accidents en ce lieu (Ardèche)"),
        ({"latitude": 48.0, "longitude": 2.0}, "accident history of this place",
         "historique des accidents en ce lieu"),
    ],
)  # fmt: skip
def test_all_that_is_known_of_the_place_is_one_reason(accident: dict[str, Any], english: str, french: str):
    parts = [*PlaceEncoder.columns, *(name for name in PLACE_FEATURES if name in COLUMNS)]
    weights = dict(zip(parts, range(1, len(parts) + 1), strict=True))
    for language, text in (("en", english), ("fr", french)):
        assert reasons(accident, weights, language=language) == [
            Reason("place", None, text, sum(weights.values()))
        ]


@pytest.mark.parametrize(
    ("categories", "english", "french"),
    [
        ([7, 33], "the lightest vehicle is a motorcycle, the heaviest a car",
         "le véhicule le plus léger est une moto, le plus lourd une voiture"),
        ([7, 7], "no vehicle is lighter or heavier than a car",
         "aucun véhicule plus léger ni plus lourd qu'une voiture"),
        ([1], "the only vehicle is a bicycle or mobility device",
         "le seul véhicule est un vélo ou une trottinette"),
    ],
)  # fmt: skip
def test_lightest_and_heaviest_vehicle_are_one_reason(categories: list[int], english: str, french: str):
    accident = {"vehicles": [{"category": code} for code in categories]}
    for language, text in (("en", english), ("fr", french)):
        assert reasons(accident, {"lightest": 0.25, "heaviest": 0.5}, language=language) == [
            Reason("lightest_and_heaviest", None, text, 0.75)
        ]


def test_what_is_not_known_is_no_reason():
    everything = dict.fromkeys(COLUMNS, 1.0)
    assert reasons({}, everything, count=100) == []
    known = {"weather": 1, "vehicles": [{}, {}]}
    told = reasons(known, everything, count=100)
    assert {one.feature for one in told} == {"weather", "vehicles"}, "neither kinds of vehicles nor a place"
    assert reasons({"vehicles": [{"category": 99}]}, {"lightest": 0.25, "heaviest": 0.5}) == []


def test_no_pedestrian_is_no_missing_age():
    driver = {"year": 2024, "users": [{"role": 1, "birth_year": 1980}]}
    assert reasons(driver, {"oldest_pedestrian": 1, "pedestrian": 2}, "on_scene") == [
        Reason("pedestrian", 0, "no pedestrian", 3)
    ]
    unaged = {"year": 2024, "users": [{"role": 3}, {"role": 1, "birth_year": 1980}]}
    assert reasons(unaged, {"oldest_pedestrian": 1}, "on_scene") == []


def values_of(stage: str) -> st.SearchStrategy[dict[str, float]]:
    """Any values that features can have, unknown ones too."""
    of_kind = {"flag": st.sampled_from([0.0, 1.0]), "number": st.integers(0, 9).map(float)}
    each = {
        f.name: st.sampled_from([float(c) for c in f.codes])
        if f.codes
        else of_kind.get(f.kind, st.just(59.0))
        for f in features_of(stage)
    }
    each["lightest"] = each["heaviest"] = st.integers(1, 8).map(float)
    return st.fixed_dictionaries({name: st.just(math.nan) | value for name, value in each.items()})


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["dispatch", "on_scene"]), st.sampled_from(["en", "fr"]), st.data())
def test_every_reason_is_a_whole_phrase_and_what_is_known_keeps_its_weight(
    stage: str, language: str, data: st.DataObject
):
    features = data.draw(values_of(stage))
    columns = tree_columns(feature_names(stage))
    weight = st.floats(-3, 3).filter(bool)
    weights = data.draw(st.lists(weight, min_size=len(columns), max_size=len(columns)))
    found = top_reasons(features, columns, weights, 100, language)
    known = {name for name, value in features.items() if not math.isnan(value)}
    kept = dict(zip(columns, weights, strict=True))
    if known >= set(feature_names(stage)):
        assert sum(r.weight for r in found) == pytest.approx(sum(weights), abs=1e-9)
    alone = [r for r in found if r.feature in kept and r.feature not in ("pedestrian", "oldest_pedestrian")]
    assert {r.feature for r in alone} <= known
    assert all(r.weight == kept[r.feature] for r in alone)
    assert len({r.feature for r in found}) == len(found)
    for reason in found:
        assert re.fullmatch(r"[^{}_]{4,120}", reason.text), reason
        assert not re.search(r"None|nan\b|\d\.\d|  |not stated|renseign", reason.text), reason
        assert reason.text == reason.text.strip()
    if language == "fr":
        assert not any(re.search(r"\b(the|not|of|and)\b", r.text) for r in found)


@pytest.mark.parametrize("contributions", [[], [0.0] * 3, [0.0] * (len(COLUMNS) + 2)])
def test_contributions_of_another_model_are_refused(contributions: list[float]):
    with pytest.raises(ValueError, match="do not fit"):
        top_reasons({}, COLUMNS, contributions)


def test_numbers_of_numpy_become_plain_ones():
    found = top_reasons({"hour": np.float32(3)}, ["hour"], np.array([0.5, 0.1]))
    assert found == [Reason("hour", 3.0, "between 3:00 and 4:00", 0.5)]
    assert {type(found[0].value), type(found[0].weight)} == {float}


def test_it_takes_microseconds():
    rng = np.random.default_rng(0)
    features, weights = build_one(ACCIDENT), rng.normal(size=len(COLUMNS) + 1).tolist()
    top_reasons(features, COLUMNS, weights)  # reads the words
    start = time.perf_counter()
    for _ in range(200):
        top_reasons(features, COLUMNS, weights)
    assert (time.perf_counter() - start) / 200 < 500e-6  # 40 on a quiet machine


def test_the_api_needs_no_library_of_training_for_them():
    code = """
import sys
for heavy in ("pandas", "sklearn", "scipy", "lightgbm", "numba", "pyarrow"):
    sys.modules[heavy] = None
import accidents.scoring.reasons
print(accidents.scoring.reasons.top_reasons({"vehicles": 2.0}, ["vehicles"], [1.0])[0].text)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "2 vehicles\n", done.stderr
