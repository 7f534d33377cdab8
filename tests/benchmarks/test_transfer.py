"""Benchmarks `transfer` and `recalibration` in small: a choice changes what it says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from accidents.features import feature_names
from accidents.params import Params
from accidents.training.masking import _SOURCES
from accidents.training.model_settings import ModelSettings
from accidents.training.place_encoder import PlaceCounts
from accidents.training.tree_inputs import LabelledRows
from benchmarks.real_2018 import SEED
from benchmarks.recalibration import LABELS, _again_and_again, _deployed, _figure, _first, _mended
from benchmarks.transfer import CHANGES, CHOICES, SEEDS, WIDTHS, Choice, Transfer, _rows, predict
from tests.accidents.frames import feature_frame, risk

FEW = {"n_estimators": 10, "bags": 1}
ACCIDENTS = feature_frame(1_500).assign(road_width=np.float32(60), reserve_width=np.float32(np.nan))
TRANSFER = Transfer(ACCIDENTS[:1_000], {"later": ACCIDENTS[1_000:]})


def told(**changed: object) -> np.ndarray:
    choice = Choice("", **{"settings": FEW, **changed})  # type: ignore[arg-type]
    return predict(choice, TRANSFER, "dispatch", 1)["later"]


def test_older_accidents_count_less_at_their_place_and_only_there() -> None:
    usual = told()
    np.testing.assert_array_equal(told(place_half_life=1e9), usual)
    assert not np.array_equal(told(place_half_life=1.0), usual)
    np.testing.assert_array_equal(told(), usual, "nothing is left of the choice")
    assert LabelledRows.of.__self__ is LabelledRows
    assert PlaceCounts.of.__self__ is PlaceCounts


def test_what_a_half_life_leaves_of_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 accidents six months old, half; of this month's, all."""
    fitted: list[PlaceCounts] = []
    of_counts = PlaceCounts.__add__

    def noted(some: PlaceCounts, others: PlaceCounts) -> PlaceCounts:
        fitted.append(of_counts(some, others))
        return fitted[-1]

    monkeypatch.setattr(PlaceCounts, "__add__", noted)
    rows = ACCIDENTS[:400].assign(department=np.float32(75), month=np.int8(12))
    rows.loc[rows.index[:100], "month"] = np.int8(6)
    predict(Choice("", FEW, place_half_life=6.0), Transfer(rows, {"later": ACCIDENTS[1_000:]}), "dispatch", 1)
    assert max(counts.tables["department"][0, 1] for counts in fitted) == 350
    assert max(counts.accidents for counts in fitted) == 350


def test_a_feature_that_is_tried_is_gone_afterwards() -> None:
    taught = ACCIDENTS.assign(road_width=ACCIDENTS["severe"])
    tried = Transfer(taught[:1_000], {"later": taught[1_000:]})
    p = predict(Choice("", FEW, more=WIDTHS), tried, "dispatch", 1)["later"]
    assert np.corrcoef(p, ACCIDENTS["severe"][1_000:])[0, 1] > 0.9
    assert not {"road_width", "reserve_width"} & {*feature_names("dispatch"), *_SOURCES}


def test_a_gain_counts_where_it_is_more_than_other_seeds_do(monkeypatch: pytest.MonkeyPatch) -> None:
    test = ACCIDENTS[:500]
    flat, chance = np.linspace(0.1, 0.9, 500), 0.3 * np.random.default_rng(1).normal(size=(SEEDS, 500))
    labels = test.assign(severe=(flat > 0.5).astype(np.float32))
    said: list[str] = []

    def predicted(
        choice: Choice, transfer: Transfer, stage: str, jobs: int, seed: int
    ) -> dict[str, np.ndarray]:
        said.append(choice.name)
        worse = flat[::-1] if choice is CHOICES[0] else flat
        return dict.fromkeys(transfer.tests, worse + chance[(seed - SEED) // 100])

    monkeypatch.setattr("benchmarks.transfer.predict", predicted)
    tried = [Transfer(test, {"2021": labels}), Transfer(test, dict.fromkeys(CHANGES, labels))]
    head, _, usual, spread, worse, *others = "\n".join(_rows(tried, "dispatch", 1)).splitlines()
    assert head.count("|") == 5
    assert len(others) == len(CHOICES) - 1
    assert all(0.5 < float(cell.split(" / ")[0]) < 1 for cell in usual.split(" | ")[1:])
    assert 0 < float(spread.split(" | ")[1].split(" / ")[0]) < 0.1
    assert worse.split(" | ")[1].startswith("**-0.")
    assert not any("**" in line for line in others)
    without = next(line for line in others if "infrastructure" in line)
    assert without.split(" | ")[1] == "-"
    assert "without infrastructure and lanes" in said, "the sample has them"


def test_two_thousand_labels_mend_a_shift_and_the_first_are_of_the_first_months() -> None:
    rows = feature_frame(9_000, 3)
    odds = risk(rows) / (1 - risk(rows)) * 0.5
    rows["severe"] = (np.random.default_rng(1).random(9_000) < odds / (1 + odds)).astype(np.float32)
    small = ModelSettings(n_estimators=40, bags=2, n_jobs=1)
    there = _deployed(Transfer(feature_frame(4_000), {"later": rows}), small, "dispatch")
    params = Params.model_validate({"evaluation": {"n_bootstrap": 100}})
    first = _first(rows, 0)
    assert len(first) == LABELS
    assert rows["month"].iloc[first].max() <= 3
    assert set(first) != set(_first(rows, 1))
    one, again = _mended(there, first, params, 0), _again_and_again(there, params)
    assert (one.taken, one.asked) == (1, 1)
    assert (again.taken, again.asked) == (4, 4), "the last stretch is shorter"
    for mended in (one, again):
        assert mended.before.low > 0.06
        assert mended.after.value < 0.03
    assert _figure("here", [one]).figure == f"{one.after.value:.4f}"
