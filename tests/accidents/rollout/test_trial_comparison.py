"""What is told of a version on trial: agreement, bands, groups, and outcomes once there are labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from accidents.reports.trial import write_trial
from accidents.rollout.trial_comparison import Answers, compare_trial
from tests.accidents.frames import feature_frame

BANDS = {"low": 0.0, "high": 0.5}
N = 2_000


def answers(p: np.ndarray, threshold: float = 0.5) -> Answers:
    return Answers(p, threshold, BANDS)


@pytest.fixture(scope="module")
def parts() -> tuple[object, np.ndarray, np.ndarray]:
    """Accidents, P(severe) of one that knows something, and outcomes drawn from it."""
    generator = np.random.default_rng(3)
    p = generator.uniform(0.05, 0.95, N)
    return feature_frame(N, seed=3), p, (generator.uniform(size=N) < p).astype(float)


def test_the_same_version_agrees_with_itself(parts) -> None:
    frame, p, severe = parts
    found = compare_trial(frame, severe, answers(p), answers(p), seed=1)
    assert found is not None
    assert (found.difference, found.apart, found.same_band, found.same_alert) == (0, 0, 1, 1)
    assert {one.verdict for one in found.outcomes} == {"tie"}
    assert found.bands["low"]["high"] == found.bands["high"]["low"] == 0
    assert sum(sum(row.values()) for row in found.bands.values()) == N


def test_band_changes_alerts_and_groups_are_counted(parts) -> None:
    frame, p, severe = parts
    pedestrians = frame["pedestrian"].to_numpy() > 0
    moved = np.where(pedestrians, 0.9, p)
    found = compare_trial(frame, severe, answers(p), answers(moved), seed=1)
    assert found is not None
    changed = pedestrians & (p < 0.5)
    assert found.bands["low"]["high"] == changed.sum()
    assert found.same_band == found.same_alert == pytest.approx(1 - changed.mean())
    groups = {one.label: one for one in found.groups}
    assert groups["Pedestrians: hit"].band_changes == pytest.approx(changed.sum() / pedestrians.sum())
    assert groups["Pedestrians: none"].band_changes == 0
    assert found.difference == pytest.approx((moved - p).mean())


def test_who_was_right_is_told_from_enough_labels_on(parts) -> None:
    frame, p, severe = parts
    noise = np.random.default_rng(4).permutation(p)
    found = compare_trial(frame, severe, answers(noise), answers(p), seed=1)
    assert found is not None
    assert {one.metric: one.verdict for one in found.outcomes} == {
        "roc_auc": "better", "pr_auc": "better", "brier": "better"
    }  # fmt: skip
    few = np.where(np.arange(N) < 100, severe, np.nan)
    found = compare_trial(frame, few, answers(noise), answers(p), seed=1)
    assert found is not None
    assert (found.labelled, found.outcomes) == (100, ())
    assert found.note.startswith("100 of them are labelled so far: from 200 on")


def test_nothing_scored_is_no_comparison(parts) -> None:
    frame, p, severe = parts
    assert compare_trial(frame[:0], severe[:0], answers(p[:0]), answers(p[:0]), seed=1) is None


def test_the_page_says_what_the_numbers_say(parts, tmp_path: Path) -> None:
    frame, p, severe = parts
    facts = {"name": "m", "role": "shadow", "share": 0, "version": "4", "champion": "3"}
    write_trial(tmp_path, facts, compare_trial(frame, severe, answers(p), answers(p * 0.5), seed=1))
    page = (tmp_path / "trial_shadow.html").read_text(encoding="utf-8")
    content = json.loads((tmp_path / "trial_shadow.json").read_text(encoding="utf-8"))
    assert "version 4 on trial" in page
    assert f"{content['comparison']['same_band']:.1%}" in page
    write_trial(tmp_path, facts | {"role": "challenger", "share": 10}, None)
    page = (tmp_path / "trial_challenger.html").read_text(encoding="utf-8")
    assert "answers 10 % of the accidents" in page
    assert "scored nothing yet that counts" in page
