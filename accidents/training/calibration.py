"""Calibration: turning the trees' score into a probability that means what it says.

Learnt on scores of accidents that the trees have not seen (the calibration part, or out of fold), and
monotone, so it never changes the order of two accidents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_TINY = 1e-12
_WIDEST = 25.0  # log-odds that no score goes beyond
# From one year to the next the slopes (a, b) move by a tenth or so, the level (c) by a half.
_PULL = 1 / np.square(np.array([0.1, 0.1, 0.5]))


@dataclass(frozen=True)
class BetaCalibration:
    """p -> 1 / (1 + exp(-(a ln p - b ln(1 - p) + c))), with a, b >= 0: Kull et al., AISTATS 2017.

    Three numbers, so a few months of accidents are enough; it bends where Platt scaling cannot and, unlike
    isotonic regression, it neither makes ties nor fits the noise of one season.
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    @classmethod
    def fit(
        cls,
        probability: Array,
        label: Array,
        weight: Array | None = None,
        prior: BetaCalibration | None = None,
    ) -> BetaCalibration:
        """Fit on float arrays [n]; every row weighs 1 by default. With one class only it is the identity.

        `prior` is what is believed before any label: few rows then move the level, and the slopes hardly.
        """
        if len(label) == 0 or label.min() == label.max():
            return cls()
        p = np.clip(probability.astype(np.float64), _TINY, 1 - _TINY)
        columns = [np.log(p), -np.log1p(-p)]
        kept = [0, 1]
        believed = np.array([prior.a, prior.b, prior.c] if prior else [0.0, 0.0, 0.0])
        while True:
            terms = np.column_stack([*(columns[k] for k in kept), np.ones_like(p)])
            pull = _PULL[[*kept, 2]] if prior else np.full(len(kept) + 1, 1e-9)
            weights = _logistic(
                terms, label, np.ones_like(p) if weight is None else weight, believed[[*kept, 2]], pull
            )
            negative = [k for k, w in zip(kept, weights, strict=False) if w < 0]
            if not negative:
                break
            kept = [k for k in kept if k not in negative]  # a falling term would break monotony
        slopes = dict(zip(kept, weights, strict=False))
        return cls(float(slopes.get(0, 0.0)), float(slopes.get(1, 0.0)), float(weights[-1]))

    def apply(self, probability: Array) -> Array:
        """Calibrated probabilities, float64 [n]."""
        p = np.clip(np.asarray(probability, dtype=np.float64), _TINY, 1 - _TINY)
        return 1 / (1 + np.exp(-(self.a * np.log(p) - self.b * np.log1p(-p) + self.c)))

    def undo(self, calibrated: Array) -> Array:
        """Return what `apply` was given, float64 [n]; NaN stays NaN.

        Meaningless for a calibration without slope.
        """
        logits = np.linspace(-_WIDEST, _WIDEST, 20_001)
        at = self.apply(1 / (1 + np.exp(-logits)))
        undone: Array = 1 / (1 + np.exp(-np.interp(calibrated, at, logits)))
        return undone

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"method": "beta", "a": self.a, "b": self.b, "c": self.c}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BetaCalibration:
        """Return the inverse of `to_dict`. Raises KeyError for missing keys."""
        return cls(float(values["a"]), float(values["b"]), float(values["c"]))


def _logistic(x: Array, y: Array, weight: Array, believed: Array, pull: Array, steps: int = 50) -> Array:
    """Most likely weights of a logistic regression by Newton's method, float64 [columns of x].

    `believed` is where the weights are pulled to; `pull` is how strongly, one over the variance believed.
    """
    weights = believed.copy()
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -35, 35)))
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(pull)
        step = np.linalg.solve(hessian, x.T @ (weight * (y - p)) - pull * (weights - believed))
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            break
    return weights
