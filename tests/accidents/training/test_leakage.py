"""Nothing that is not known yet, and no label, reaches the model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from accidents.features import FEATURES, STAGES, build_features, features_of
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings
from accidents.training.place_encoder import PLACE, PlaceEncoder, cross_fit
from accidents.vocabulary.codes import column, columns
from tests.accidents.features.test_features import as_tables

# What the caller tells at once, though codes.yaml has its column as "on the scene": that a pedestrian is hit.
TOLD_BY_THE_CALLER = {("pedestrian", ("vehicles", "moving_obstacle"))}
ORDER = {"dispatch": 0, "on_scene": 1, "investigation": 2}


def known_at(source: tuple[str, str]) -> str:
    table, name = source
    if name in ("hour", "minute"):  # both are read from one raw column
        return next(each for each in columns("accidents") if each.raw == "hrmn").known_at
    return column(name, table).known_at


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_no_feature_is_known_later_than_it_says(feature):
    for source in feature.compute.sources:
        exempt = (feature.name, source) in TOLD_BY_THE_CALLER
        assert exempt == (ORDER[known_at(source)] > ORDER[feature.known_at]), source


def test_the_pedestrian_exemption_reads_no_other_obstacle():
    """`moving_obstacle` is on-scene knowledge but for "a pedestrian"."""
    pedestrian = next(f for f in FEATURES if f.name == "pedestrian")
    animal = pedestrian.compute.of_one({"vehicles": [{"moving_obstacle": 6}]})
    vehicle = pedestrian.compute.of_one({"vehicles": [{"moving_obstacle": 2}]})
    assert animal == vehicle == 0


def accidents(n: int, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [
        {
            "year": 2021, "month": int(rng.integers(1, 13)), "hour": int(rng.integers(24)),
            "commune": "59350", "department": "59", "latitude": float(rng.uniform(48, 50)),
            "longitude": float(rng.uniform(2, 4)),
            "vehicles": [{"category": int(rng.choice([1, 7, 33])), "manoeuvre": int(rng.integers(1, 27)),
                          "impact": int(rng.integers(10)), "fixed_obstacle": int(rng.integers(18)),
                          "moving_obstacle": int(rng.choice([0, 2]))}],
            "users": [{"severity": int(rng.integers(1, 5)), "equipment": int(rng.integers(1, 4)), "role": 1,
                       "trip": int(rng.integers(1, 6)), "sex": 1, "birth_year": int(rng.integers(1940, 2003)),
                       "pedestrian_action": "3", "equipment1": 1}],
        }
        for _ in range(n)
    ]  # fmt: skip


def shuffled(tables, keep: set[str], rng: np.random.Generator):
    """The tables with every vehicle and user column not in `keep` permuted over its rows."""
    for name in ("accidents", "vehicles", "users"):
        frame = getattr(tables, name).copy()
        for each in set(frame.columns) - keep - {"accident_id"}:
            if ORDER.get(known_at((name, each)), 0) > 0:
                frame[each] = frame[each].to_numpy()[rng.permutation(len(frame))]
        setattr(tables, name, frame)
    return tables


def test_investigation_and_outcome_change_no_feature():
    content, rng = accidents(300), np.random.default_rng(1)
    on_scene = {f.compute.sources[-1][1] for f in FEATURES} | {
        c for f in FEATURES for _, c in f.compute.sources
    }
    before = build_features(as_tables(content), "on_scene")
    after = build_features(shuffled(as_tables(content), on_scene, rng), "on_scene")
    assert not before["severe"].equals(after["severe"])  # the outcome was permuted indeed
    names = [f.name for f in FEATURES]
    pd.testing.assert_frame_equal(before[names], after[names])


def test_what_responders_see_changes_no_dispatch_feature():
    content, rng = accidents(300), np.random.default_rng(1)
    keep = {name for _, (_, name) in TOLD_BY_THE_CALLER}
    names = [f.name for f in features_of("dispatch")]
    before = build_features(as_tables(content), "dispatch")[names]
    after = build_features(shuffled(as_tables(content), keep, rng), "dispatch")[names]
    pd.testing.assert_frame_equal(before, after)


def clustered(n: int, seed: int) -> pd.DataFrame:
    """Accidents in 400 hamlets: the hardest case for a place encoding, as each has few accidents."""
    rng = np.random.default_rng(seed)
    hamlet = rng.integers(400, size=n)
    built = build_features(as_tables(accidents(n, seed)), "dispatch")
    built["latitude"] = np.float32(44) + (hamlet // 20).astype(np.float32) * np.float32(0.2)
    built["longitude"] = np.float32(0) + (hamlet % 20).astype(np.float32) * np.float32(0.2)
    built["commune"] = hamlet.astype(np.float32) + 1
    return built


def test_shuffled_labels_teach_nothing():
    """Through the encoder and the trees: a leak of the label into its own encoding would show."""
    rng = np.random.default_rng(3)
    fitting, held = clustered(3000, 1), clustered(3000, 2)
    for frame in (fitting, held):
        frame["severe"] = rng.integers(2, size=len(frame)).astype(np.float32)
    model = train(fitting, held, ModelSettings(bags=1, n_estimators=60), "dispatch", 7)
    place, label = fitting[list(PLACE)].to_numpy(np.float32), fitting["severe"].to_numpy()
    assert abs(roc_auc_score(held["severe"], model.predict_proba(held)) - 0.5) < 0.04  # 4 standard errors
    encoded = cross_fit(place, label, 7)
    for k, name in enumerate(PlaceEncoder.columns):
        # Cross-fitting leans slightly against the own label (its fold lacks it); never towards it.
        assert roc_auc_score(label, encoded[:, k]) < 0.54, name


def test_no_training_row_sees_its_own_label():
    frame = clustered(500, 1)
    place = frame[list(PLACE)].to_numpy(np.float32)
    label = np.random.default_rng(0).integers(2, size=500).astype(np.float32)
    before = cross_fit(place, label, 7)
    for row in range(0, 500, 50):
        other = label.copy()
        other[row] = 1 - other[row]
        after = cross_fit(place, other, 7)
        np.testing.assert_array_equal(before[row], after[row])
        assert not np.array_equal(before, after, equal_nan=True)  # others do see it


@pytest.mark.parametrize("stage", STAGES)
def test_serials_and_ids_are_no_features(stage: str):
    sources = {name for f in features_of(stage) for _, name in f.compute.sources}
    assert not sources & {"vehicle_id", "severity", "minute"}
