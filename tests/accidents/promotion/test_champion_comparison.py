"""Who is compared with whom, and the rules that come before any figure."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from accidents.bundle import Bundle
from accidents.promotion.champion_comparison import JudgingSettings, judge
from accidents.promotion.gates import GateReport, GateResult
from accidents.training.reference import learnt_from

PASSED = GateReport((GateResult("metric roc_auc", "at least 0.5", "0.8", True),))
REFUSED = GateReport((GateResult("metric roc_auc", "at least 0.9", "0.8", False),))
RULES = JudgingSettings.model_validate({"evaluation": {"n_bootstrap": 100}})


class FixedModel:
    """Gives the first feature as the probability: a real model would say no more here."""

    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        return matrix[:, 0].astype(float)


def bundle(digest: str, months: list[str], synthetic: bool = False, feature: str = "old") -> Bundle:
    facts = {
        "stage": "dispatch",
        "features": [feature],
        "synthetic": synthetic,
        "learnt_from": months,
        "threshold": 0.5,
    }
    return Bundle(Path(), FixedModel(), facts, digest)  # type: ignore[arg-type]


def rows(n: int = 3_000, noise: float = 0.3) -> tuple[pd.DataFrame, np.ndarray]:
    """Test rows of 2019, half in January; the champion's `old` score is noisier than the one returned."""
    rng = np.random.default_rng(7)
    severe = rng.integers(0, 2, n).astype(float)

    def score(spread: float) -> np.ndarray:
        return np.clip(0.5 + 0.2 * (severe - 0.5) + rng.normal(0, spread, n), 0.001, 0.999)

    frame = pd.DataFrame(
        {"year": 2019, "month": np.where(np.arange(n) % 2, 1, 6), "severe": severe, "old": score(noise)}
    )
    slices = ("department", "built_up", "hour", "mopeds", "motorcycles", "bicycles", "pedestrian", "light")
    return frame.assign(**dict.fromkeys(slices, np.nan)), score(0.1)


def test_without_a_champion_the_gates_alone_decide() -> None:
    frame, good = rows()
    assert judge(PASSED, bundle("a", ["2018-01"]), None, "", frame, good, RULES).decision.promote
    assert not judge(REFUSED, bundle("a", ["2018-01"]), None, "", frame, good, RULES).decision.promote


def test_a_better_candidate_is_promoted_and_a_worse_one_is_not() -> None:
    frame, good = rows()
    champion, candidate = bundle("a", ["2018-01"]), bundle("b", ["2018-01"])
    better = judge(PASSED, candidate, champion, "1", frame, good, RULES)
    assert (better.decision.promote, better.decision.rule) == (True, "better")
    assert better.champion is not None
    assert better.champion["roc_auc"].value < 0.9
    worse = judge(PASSED, candidate, champion, "1", frame.assign(old=good), frame["old"].to_numpy(), RULES)
    assert (worse.decision.promote, worse.decision.rule) == (False, "worse")


def test_a_candidate_that_is_better_overall_and_worse_for_pedestrians_is_refused() -> None:
    frame, good = rows(6_000)
    hit = np.arange(len(frame)) % 5 == 0
    # The champion knows pedestrians well; the candidate guesses there, and is better everywhere else.
    frame = frame.assign(pedestrian=hit.astype(float), old=np.where(hit, good, frame["old"]))
    guessed = np.random.default_rng(3).uniform(0.3, 0.7, len(frame))
    judged = judge(PASSED, bundle("b", ["2018-02"]), bundle("a", ["2018-01"]), "1", frame,
                   np.where(hit, guessed, good), RULES)  # fmt: skip
    assert judged.comparison is not None
    assert judged.comparison.overall.verdict == "better"
    assert (judged.decision.promote, judged.decision.rule) == (False, "worse_slice")
    assert "worse for Pedestrians: hit" in judged.decision.reason


def test_a_better_candidate_does_not_pass_a_refusing_gate() -> None:
    frame, good = rows()
    judged = judge(REFUSED, bundle("b", ["2018-01"]), bundle("a", ["2018-01"]), "1", frame, good, RULES)
    assert (judged.decision.promote, judged.decision.rule) == (False, "gates")


def test_the_same_bundle_is_the_champion_already() -> None:
    frame, good = rows()
    judged = judge(PASSED, bundle("a", ["2018-01"]), bundle("a", ["2018-01"]), "4", frame, good, RULES)
    assert (judged.decision.promote, judged.decision.rule) == (False, "same")
    assert "version 4" in judged.decision.reason


def test_what_learnt_from_synthetic_accidents_never_replaces_what_learnt_from_real_ones() -> None:
    frame, good = rows()
    real, made = bundle("a", ["2018-01"]), bundle("b", ["2018-02"], synthetic=True)
    assert judge(PASSED, made, real, "1", frame, good, RULES).decision.rule == "synthetic"
    assert judge(PASSED, real, made, "1", frame, good, RULES).decision.promote


def test_what_learnt_from_synthetic_accidents_has_seen_none_of_the_real_ones() -> None:
    frame, good = rows()
    made = bundle("b", ["2019-01", "2019-06"], synthetic=True)
    judged = judge(PASSED, bundle("a", ["2018-01"]), made, "1", frame, good, RULES)
    assert judged.comparison is not None
    assert (judged.comparison.overall.accidents, judged.notes) == (3_000, ())


@pytest.mark.parametrize("synthetic", [False, True])
def test_accidents_that_the_champion_learnt_from_are_left_out(synthetic: bool) -> None:
    frame, good = rows()
    champion, candidate = bundle("a", ["2019-01"], synthetic), bundle("b", ["2018-01"], synthetic)
    judged = judge(PASSED, candidate, champion, "1", frame, good, RULES)
    assert judged.comparison is not None
    assert judged.comparison.overall.accidents == 1_500
    assert "1,500 test accidents that the champion learnt from are left out" in judged.notes[0]


def test_a_refit_is_compared_by_the_model_that_was_judged_which_has_not_seen_the_test(tmp_path: Path) -> None:
    """The champion's refit learnt the test accidents by heart: it would beat everybody for ever."""
    frame, good = rows()
    champion = bundle("a", ["2018-01", "2019-01", "2019-06"])
    champion.facts["judged"] = {"learnt_from": ["2018-01"]}
    perfect = frame["severe"].to_numpy()
    object.__setattr__(champion, "model", SimpleNamespace(predict_matrix=lambda _: perfect))
    champion.__dict__["judged"] = FixedModel()
    judged = judge(PASSED, bundle("b", ["2018-01"]), champion, "1", frame, good, RULES)
    assert judged.comparison is not None
    assert judged.comparison.overall.accidents == 3_000
    assert (judged.decision.promote, judged.decision.rule, judged.notes) == (True, "better", ())


def test_when_the_champion_has_seen_all_of_them_that_is_said() -> None:
    frame, good = rows()
    judged = judge(
        PASSED, bundle("b", ["2018-01"]), bundle("a", ["2019-01", "2019-06"]), "1", frame, good, RULES
    )
    assert judged.comparison is not None
    assert judged.comparison.overall.accidents == 3_000
    assert "favours it" in judged.notes[0]


def test_a_champion_with_features_that_are_no_more_is_not_compared() -> None:
    frame, good = rows()
    champion = bundle("a", ["2018-01"], feature="forgotten")
    judged = judge(PASSED, bundle("b", ["2018-01"]), champion, "1", frame, good, RULES)
    assert judged.comparison is None
    assert "forgotten" in judged.notes[0]


def test_the_months_learnt_from_are_in_order_across_parts() -> None:
    parts = [
        pd.DataFrame({"year": [2019, 2018], "month": [2, 11]}),
        pd.DataFrame({"year": [2018], "month": [12]}),
    ]
    assert learnt_from(*parts) == ["2018-11", "2018-12", "2019-02"]


@pytest.mark.parametrize(
    "key", ["promote", "rule", "reason", "passed", "gates", "comparison", "champion", "notes"]
)
def test_a_judgement_goes_through_json(key: str) -> None:
    import json

    frame, good = rows()
    judged = judge(PASSED, bundle("b", ["2018-01"]), bundle("a", ["2018-01"]), "1", frame, good, RULES)
    assert key in json.loads(json.dumps(judged.to_dict()))
