"""The step itself, called with small frames: what is chosen where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accidents.evaluation.metrics import EvaluationSettings, threshold_for_budget
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings
from steps.evaluation.evaluate_model import evaluate_model
from steps.folder import Folder
from tests.accidents.frames import feature_frame


def test_the_alert_threshold_is_chosen_on_the_calibration_rows(tmp_path: Path):
    rows = feature_frame(3_000)
    early, later = rows[:1_500], rows[1_500:2_000]
    test = rows[2_000:].assign(speed_limit=np.float32(130), pedestrian=np.float32(1))  # far more severe ones
    model = train(early, later, ModelSettings(bags=1, n_estimators=20), "dispatch", 7)
    model.save(tmp_path)
    baselines = test[[]].assign(prevalence=0.4)
    settings = EvaluationSettings(budget=0.2, n_bootstrap=100)
    predictions, results = evaluate_model.entrypoint(Folder(tmp_path), later, test, baselines, settings, 7)
    chosen = results["alerts"]["threshold"]
    assert chosen == pytest.approx(threshold_for_budget(model.predict_proba(later), 0.2))
    assert chosen < threshold_for_budget(model.predict_proba(test), 0.2)
    np.testing.assert_array_equal(predictions["model"], model.predict_proba(test))
