"""params.yaml: WHAT an experiment is. Strict: an unknown key stops before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from accidents.config import parse, read_yaml
from accidents.data.sources.settings import DataSettings
from accidents.errors import SettingsError
from accidents.evaluation.metrics import EvaluationSettings
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.promotion.champion_comparison import JudgingSettings
from accidents.promotion.champion_decision import PromotionSettings
from accidents.promotion.gates import GateRules, GateSettings
from accidents.strict import Strict
from accidents.training.model_settings import ModelSettings
from accidents.training.split import SplitSettings

Stage = Literal["dispatch", "on_scene"]
# Not a model's own: what `data` gives is known by hash and years, the others decide what becomes of it.
NOT_OF_TRAINING = frozenset({"data", "promotion", "monitor", "keep"})


class TuningSettings(Strict):
    """Optuna search on the training years; 0 trials: none."""

    trials: int = Field(default=0, ge=0)


class KeepSettings(Strict):
    """What old things are kept; null: all of them, for ever."""

    monitor_runs: int | None = Field(default=30, ge=1)
    inference_runs: int | None = Field(default=10, ge=1)
    reports: int | None = Field(default=20, ge=1)
    partitions: int | None = Field(default=6, ge=1)
    log_megabytes: int | None = Field(default=20, ge=1)
    prediction_days: int | None = Field(default=400, ge=1)
    labelled_days: int | None = Field(default=1500, ge=1)

    @model_validator(mode="after")
    def _labelled_are_kept_longer(self) -> KeepSettings:
        if self.labelled_days is not None and self.labelled_days < (self.prediction_days or math.inf):
            raise ValueError(
                "labelled_days must be at least prediction_days: outcomes are what is learnt from"
            )
        return self


class Params(Strict):
    """All of params.yaml."""

    stage: Stage = "dispatch"
    seed: int = Field(default=7, ge=0)
    data: DataSettings = DataSettings()
    split: SplitSettings = SplitSettings()
    model: ModelSettings = ModelSettings()
    refit: bool = True
    tuning: TuningSettings = TuningSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    gates: tuple[GateSettings, ...] = ()
    promotion: PromotionSettings = PromotionSettings()
    monitor: MonitorSettings = MonitorSettings()
    keep: KeepSettings = KeepSettings()

    def of_training(self) -> dict[str, Any]:
        """Return what a model depends on beside data and code; JSON-ready.

        However many threads there are, they grow the same trees.
        """
        depends = self.model_dump(mode="json", exclude=set(NOT_OF_TRAINING))
        del depends["model"]["n_jobs"]
        return depends

    def experiment(self) -> dict[str, Any]:
        """All that says how a candidate was made and judged; JSON-ready."""
        return self.model_dump(mode="json", exclude={"monitor", "keep"})

    @property
    def judging(self) -> JudgingSettings:
        """How a candidate is held against the champion."""
        return JudgingSettings(promotion=self.promotion, evaluation=self.evaluation, seed=self.seed)

    @property
    def gate_rules(self) -> GateRules:
        """What a candidate must show."""
        return GateRules(gates=self.gates, evaluation=self.evaluation, seed=self.seed)

    @model_validator(mode="after")
    def _test_year_is_there(self) -> Params:
        year, years = self.split.test_year, self.data.years
        if year is not None and years and year not in years:
            nearest = min(years, key=lambda given: abs(given - year))
            raise ValueError(
                f"split.test_year {year} is not among data.years {', '.join(map(str, years))}; "
                f"nearest: {nearest}"
            )
        return self


def load_params(path: Path, overrides: Mapping[str, Any] | None = None) -> Params:
    """Read params.yaml, lay command-line values (dotted keys) over it, and check the whole.

    Raises
    ------
    SettingsError
        Naming the key and, for an unknown one, the nearest valid key.
    """
    content = read_yaml(path)
    for dotted, value in (overrides or {}).items():
        inner = content
        *parents, last = dotted.split(".")
        for key in parents:
            if inner.get(key) is None:  # absent, or `data:` with nothing behind it
                inner[key] = {}
            inner = inner[key]
            if not isinstance(inner, dict):
                raise SettingsError(f"{path.name}: `{key}` must hold keys and values, not {inner!r}.")
        inner[last] = value
    return parse(Params, content, path.name)
