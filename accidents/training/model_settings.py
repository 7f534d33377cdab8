"""The `model` section of params.yaml: the hyper-parameters of the trees, with their defaults."""

from __future__ import annotations

from pydantic import Field

from accidents.strict import Strict


class ModelSettings(Strict):
    """Hyper-parameters; docs/features.md tells how the defaults were found.

    `bags` boosters of `n_estimators` trees each, grown with different seeds and different cross-fitting
    folds, are averaged. `monotone` holds the trees to what declared features say of the direction of risk.
    `masked` is the share of training rows that are learnt from again with some of what is known hidden.
    `two_kinds`: every second bag draws the thresholds of its splits at random (extremely randomised trees,
    Geurts et al. 2006) and learns twice as fast; it errs elsewhere, so the average errs less.
    """

    bags: int = Field(default=4, ge=1, le=20)
    n_estimators: int = Field(default=300, ge=1, le=5000)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    num_leaves: int = Field(default=31, ge=2, le=1024)
    min_child_samples: int = Field(default=40, ge=1)
    colsample_bytree: float = Field(default=0.5, gt=0, le=1)
    subsample: float = Field(default=0.8, gt=0, le=1)
    reg_lambda: float = Field(default=5.0, ge=0)
    monotone: bool = True
    masked: float = Field(default=0.5, ge=0, le=1)
    two_kinds: bool = True
    n_jobs: int = Field(default=2, ge=1, le=64)

    def draws_thresholds(self, bag: int) -> bool:
        """Whether a bag draws the thresholds of its splits at random, and so learns twice as fast."""
        return self.two_kinds and bag % 2 == 1
