"""The step that promotes, with another training coming in between, in a real ZenML store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from accidents.bundle import Bundle, write_bundle
from accidents.promotion.champion_comparison import JudgingSettings
from accidents.promotion.gates import GateReport, GateResult
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings
from steps.folder import Folder
from steps.promotion.promote_model import promote_model
from steps.promotion.promote_recalibrated import promote_recalibrated
from steps.support import champion_and_versions
from tests.accidents.frames import feature_frame
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]

RULES = JudgingSettings.model_validate({"evaluation": {"n_bootstrap": 100}})
PASSED = GateReport((GateResult("metric roc_auc", "at least 0.5", "0.8", True),))
FIRST = {"promote": True, "rule": "first", "reason": "There is no champion yet.", "against": None}


def make_bundle(folder: Path, seed: int, trees: int) -> Bundle:
    frame = feature_frame(2_000, seed)
    settings = ModelSettings(bags=1, n_estimators=trees, n_jobs=1)
    model = train(frame[:1_500], frame[1_500:], settings, "dispatch", seed)
    facts = {"name": "m", "stage": "dispatch", "threshold": 0.5, "budget": 0.2, "synthetic": True,
             "learnt_from": ["2021-12"], "identity": f"{seed}"}  # fmt: skip
    return write_bundle(folder, model, facts, frame[1_500:], "# Card")


def version_of(bundle: Bundle, name: str) -> str:
    """Register a bundle; return its version's number."""
    from zenml import log_metadata, save_artifact
    from zenml.client import Client
    from zenml.model.utils import link_artifact_version_to_model_version

    made = Client().create_model_version(name)
    link_artifact_version_to_model_version(
        save_artifact(Folder(bundle.folder), champion_and_versions.BUNDLE), made
    )
    log_metadata(
        metadata={"bundle": bundle.digest, "identity": str(bundle.identity)}, model_version_id=made.id
    )
    return str(made.number)


def arguments(bundle: Bundle, name: str) -> dict[str, Any]:
    """What the pipeline hands over about a candidate, measured on accidents of its own."""
    rows = feature_frame(3_000, 9)
    predicted = bundle.predict(rows[bundle.features].to_numpy(np.float32))
    predictions = pd.DataFrame({"severe": rows["severe"], "model": predicted})
    return {"bundle": Folder(bundle.folder), "test_rows": rows, "test_predictions": predictions,
            "gates": PASSED.to_dict(), "rules": RULES, "name": name}  # fmt: skip


@pytest.fixture
def name(zenml_store: Path, request: pytest.FixtureRequest) -> str:
    """A model of the test's own; its bundles say so."""
    from zenml.client import Client

    Client().create_model("m")
    yield "m"
    Client().delete_model("m")


def test_the_second_of_two_trainings_is_judged_against_the_first(name: str, tmp_path: Path) -> None:
    """Both began when there was no champion, and both were judged against nobody."""
    good, poor = make_bundle(tmp_path / "good", 1, 60), make_bundle(tmp_path / "poor", 2, 1)
    first, second = version_of(good, name), version_of(poor, name)
    assert promote_model.entrypoint(first, FIRST, **arguments(good, name)) == ("1", FIRST)
    champion, decision = promote_model.entrypoint(second, FIRST, **arguments(poor, name))
    assert champion == "1"
    assert (decision["promote"], decision["rule"], decision["against"]) == (False, "worse", "1")


def test_a_better_second_takes_over_from_the_first_it_had_not_seen(name: str, tmp_path: Path) -> None:
    good, poor = make_bundle(tmp_path / "good", 1, 60), make_bundle(tmp_path / "poor", 2, 1)
    first, second = version_of(poor, name), version_of(good, name)
    promote_model.entrypoint(first, FIRST, **arguments(poor, name))
    champion, decision = promote_model.entrypoint(second, FIRST, **arguments(good, name))
    assert champion == "2"
    assert (decision["rule"], decision["against"]) == ("better", "1")
    now, before = champion_and_versions.rollback(name)
    assert (now.number, before.number) == (1, 2)


def test_only_who_was_judged_is_rolled_back(name: str, tmp_path: Path) -> None:
    """Another was promoted by hand between a probation's verdict and its rollback."""
    bundle = make_bundle(tmp_path / "one", 1, 5)
    for number in [version_of(bundle, name) for _ in range(3)]:
        champion_and_versions.promote(champion_and_versions.version(name, number), "by hand")
    with pytest.raises(champion_and_versions.ChampionChangedError, match="Version 3 has become champion"):
        champion_and_versions.rollback(name, "2")
    assert champion_and_versions.champion(name).number == 3
    assert not champion_and_versions.was_taken_back(champion_and_versions.version(name, "3"))
    now, before = champion_and_versions.rollback(name, "3")
    assert (now.number, before.number) == (2, 3)


def test_what_was_refused_is_judged_against_the_present_champion_too(name: str, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one", 1, 60)
    number = version_of(bundle, name)
    promote_model.entrypoint(number, FIRST, **arguments(bundle, name))
    refused = {"promote": False, "rule": "tie", "reason": "A tie.", "against": "7"}
    champion, decision = promote_model.entrypoint(number, refused, **arguments(bundle, name))
    assert (champion, decision["rule"], decision["against"]) == ("1", "same", "1")


def test_what_was_taken_back_is_promoted_by_the_same_run_again(name: str, tmp_path: Path) -> None:
    """A run that is the same as before would be cached, and tell of a promotion that there was not."""
    from zenml import pipeline, save_artifact

    good, poor = make_bundle(tmp_path / "good", 1, 60), make_bundle(tmp_path / "poor", 2, 1)
    champion_and_versions.promote(champion_and_versions.version(name, version_of(poor, name)), "first")
    number, given = version_of(good, name), arguments(good, name)
    stored = {
        each: save_artifact(given.pop(each), each) for each in ("bundle", "test_rows", "test_predictions")
    }
    judgement = {"promote": True, "rule": "better", "reason": "Better.", "against": "1"}

    @pipeline(enable_cache=True)
    def promoting() -> None:
        promote_model(number, judgement, **given, **stored)

    for _ in range(2):
        promoting()
        assert champion_and_versions.champion(name).number == int(number)
        champion_and_versions.rollback(name)


def test_what_was_taken_back_stays_so_for_the_loop_until_a_person_promotes_it(
    name: str, tmp_path: Path
) -> None:
    good, poor = make_bundle(tmp_path / "good", 1, 60), make_bundle(tmp_path / "poor", 2, 1)
    first, second = version_of(poor, name), version_of(good, name)
    promote_model.entrypoint(first, FIRST, **arguments(poor, name))
    better = {"promote": True, "rule": "better", "reason": "Better.", "against": "1"}
    for judgement in (better, {**better, "against": None}):  # and once where it is judged again
        candidate = champion_and_versions.version(name, second)
        champion_and_versions.promote(candidate, "by hand")
        assert not champion_and_versions.was_taken_back(champion_and_versions.version(name, second))
        champion_and_versions.rollback(name)
        champion, decision = promote_model.entrypoint(
            second, judgement, **arguments(good, name), may_return=False
        )
        assert (champion, decision["promote"], decision["rule"]) == ("1", False, "taken back")
        assert "python run.py promote 2" in decision["reason"]


def test_a_recalibration_of_a_champion_that_is_none_any_more_is_not_promoted(
    name: str, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "one", 1, 5)
    first, second, third = (champion_and_versions.version(name, version_of(bundle, name)) for _ in range(3))
    champion_and_versions.promote(first, "first")
    judgement = {"promote": True, "rule": "recalibrated", "reason": "On new labels.", "against": "1"}
    champion_and_versions.promote(second, "of another training")
    champion, decision = promote_recalibrated.entrypoint(str(third.number), judgement, name)
    assert (champion, decision["promote"], decision["rule"]) == ("2", False, "overtaken")
    again = {**judgement, "against": "2"}
    assert promote_recalibrated.entrypoint(str(third.number), again, name) == ("3", again)
