"""The pictures of a card are of the model that its figures are of."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from accidents.bundle import Bundle
from accidents.reports import figures
from steps.evaluation import draw_reports


def splits_on(feature: int) -> Any:
    """Return a model whose trees look at one feature alone."""
    one = np.eye(3)[feature]
    return SimpleNamespace(
        columns=("hour", "light"),
        inputs=lambda matrix: matrix,
        contributions=lambda matrix: np.tile(one, (len(matrix), 1)),
    )


def test_importance_is_of_the_model_that_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle(Path(), splits_on(0), {"features": ["hour", "light"]}, "a")
    bundle.__dict__["judged"] = splits_on(1)
    monkeypatch.setattr(figures, "importance", lambda strength: strength)
    drawn = draw_reports._explained(bundle, pd.DataFrame({"hour": [1.0, 2.0], "light": [3.0, 5.0]}), 7)
    assert drawn["importance"] == {"hour": 0, "light": 1}


def test_which_accidents_are_explained_goes_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle(Path(), splits_on(0), {"features": ["hour", "light"]}, "a")
    bundle.__dict__["judged"] = splits_on(1)
    rows = pd.DataFrame({"hour": np.arange(50.0), "light": 1.0})
    monkeypatch.setattr(draw_reports, "EXPLAINED", 10)
    monkeypatch.setattr(figures, "importance", lambda _: None)
    monkeypatch.setattr(figures, "shap_summary", lambda _, values, *__: sorted(values[:, 0]))
    first, again, other = (draw_reports._explained(bundle, rows, seed)["shap_summary"] for seed in (1, 1, 2))
    assert len(first) == 10
    assert first == again != other
