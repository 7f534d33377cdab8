"""How good are the probabilities, and how sure are we: metrics with 95 % bootstrap intervals.

A row is an accident. A bootstrap draw is n accidents drawn with replacement. All metrics here depend on a
draw only through how many severe and other accidents it has at each distinct score, so the scores are sorted
once and a draw costs one count (`np.bincount`) and a few cumulated sums instead of a new sort: exactly the
plain bootstrap, faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from accidents.errors import DataError, SettingsError
from accidents.strict import Strict
from accidents.vocabulary.bands import DEFAULT_BANDS, check_bands

Array = npt.NDArray[np.float64]

HIGHER_IS_BETTER: Mapping[str, bool] = {
    "roc_auc": True,
    "pr_auc": True,
    "brier": False,
    "log_loss": False,
    "ece": False,
    "recall_at_budget": True,
    "precision_at_budget": True,
}
METRICS = (*HIGHER_IS_BETTER, "prevalence", "alerted_share")
ECE_BINS = 15
READABLE = {  # for people
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "brier": "Brier score",
    "log_loss": "log loss",
    "ece": "calibration error (ECE)",
    "recall_at_budget": "recall at budget",
    "precision_at_budget": "precision at budget",
    "prevalence": "share severe",
    "alerted_share": "share alerted",
}
BUDGET = 0.2
SMALLEST_PROBABILITY = 1e-7  # keeps log loss finite, as scikit-learn does


class EvaluationSettings(Strict):
    """How the later year is judged."""

    budget: float = Field(default=0.2, gt=0, lt=1)
    n_bootstrap: int = Field(default=500, ge=100)
    bands: Mapping[str, float] = DEFAULT_BANDS

    @field_validator("bands")
    @classmethod
    def _bands_cover(cls, bands: Mapping[str, float]) -> Mapping[str, float]:
        return check_bands(bands)


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95 % interval; all three NaN where it is undefined (one class only, say)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Evaluation:
    """What a model does on `accidents` accidents of which `severe` are severe."""

    accidents: int
    severe: int
    budget: float
    metrics: Mapping[str, Estimate] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> Estimate:
        return self.metrics[metric]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; undefined numbers are None."""
        numbers = {name: _json_numbers(asdict(estimate)) for name, estimate in self.metrics.items()}
        return {"accidents": self.accidents, "severe": self.severe, "budget": self.budget, "metrics": numbers}


@dataclass(frozen=True)
class Comparison:
    """Challenger against champion on the same accidents.

    `difference` is positive where the challenger is better.
    """

    metric: str
    accidents: int
    champion: float
    challenger: float
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """better, worse or tie: a tie is a difference that the interval cannot tell from zero."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "tie"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**_json_numbers(asdict(self)), "verdict": self.verdict}


@dataclass(frozen=True)
class Alerts:
    """Who is alerted: every score above `threshold`, and `share_at_threshold` of those equal to it."""

    threshold: float
    share_at_threshold: float = 1.0

    def weights(self, scores: Array) -> Array:
        """1 alerted, 0 not, a share where the budget ends amid equal scores; one per score."""
        return np.where(
            scores == self.threshold, self.share_at_threshold, (scores > self.threshold).astype(float)
        )


class _Counts:
    """Severe and other accidents per distinct score, falling; and every metric from those counts alone."""

    def __init__(self, y: Array, p: Array, budget: float, alerts: Alerts | None) -> None:
        scores, group = np.unique(-p, return_inverse=True)
        self.scores = -scores
        self.codes = group * 2 + y.astype(np.int64)
        self.budget = budget
        self.alerted = None if alerts is None else alerts.weights(self.scores)
        self.squares = np.square(1 - self.scores), np.square(self.scores)
        clipped = np.clip(self.scores, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        self.logs = -np.log(clipped), -np.log1p(-clipped)
        bins = np.minimum((self.scores * ECE_BINS).astype(int), ECE_BINS - 1)
        self.bin_starts = np.unique(bins, return_index=True)[1]
        self.bin_starts.sort()

    def of(self, rows: npt.NDArray[np.int64] | None = None) -> tuple[Array, Array]:
        """(severe, other) per score among `rows`, all rows by default."""
        codes = self.codes if rows is None else self.codes[rows]
        counts = np.bincount(codes, minlength=2 * len(self.scores)).astype(float)
        return counts[1::2], counts[0::2]

    def metrics(self, rows: npt.NDArray[np.int64] | None = None) -> dict[str, float]:
        """Every metric by name; NaN where undefined."""
        sums = _Sums(self, rows)
        return {name: metric(sums) for name, metric in _FROM_SUMS.items()}

    def metric(self, name: str, rows: npt.NDArray[np.int64] | None = None) -> float:
        """One metric alone, for comparisons of many draws."""
        return _FROM_SUMS[name](_Sums(self, rows))


class _Sums:
    """Accidents among `rows` per distinct score, and sums over them that several metrics need."""

    def __init__(self, counts: _Counts, rows: npt.NDArray[np.int64] | None) -> None:
        self.counts = counts
        self.severe, self.other = counts.of(rows)

    @cached_property
    def both(self) -> Array:
        return self.severe + self.other

    @cached_property
    def hits(self) -> Array:
        return np.cumsum(self.severe)

    @cached_property
    def alarms(self) -> Array:
        return np.cumsum(self.both)

    @property
    def n(self) -> float:
        return float(self.alarms[-1])

    @property
    def n_severe(self) -> float:
        return float(self.hits[-1])

    @cached_property
    def alerted(self) -> tuple[float, float]:
        """(alerted accidents, severe ones among them).

        Equal scores share what is left of the budget evenly.
        """
        weights = self.counts.alerted
        if weights is not None:
            return _dot(weights, self.both), _dot(weights, self.severe)
        alerted = self.counts.budget * self.alarms[-1]
        at = int(np.searchsorted(self.alarms, alerted))
        share = (alerted - (self.alarms[at] - self.both[at])) / self.both[at]
        return float(alerted), float(self.hits[at] - self.severe[at] + share * self.severe[at])

    def mean_of(self, losses: tuple[Array, Array]) -> float:
        """Return the mean of a loss per score, given for severe and for other accidents."""
        return (_dot(self.severe, losses[0]) + _dot(self.other, losses[1])) / self.n


def _roc_auc(sums: _Sums) -> float:
    # other accidents below each score, half of the equal
    ranked_lower = sums.n - sums.n_severe - (sums.alarms - sums.hits) + sums.other / 2
    return _ratio(_dot(sums.severe, ranked_lower), sums.n_severe * (sums.n - sums.n_severe))


def _ece(sums: _Sums) -> float:
    gap = np.add.reduceat(sums.severe - sums.counts.scores * sums.both, sums.counts.bin_starts)
    return float(np.abs(gap).sum() / sums.n)


_FROM_SUMS: Mapping[str, Callable[[_Sums], float]] = {
    "roc_auc": _roc_auc,
    "pr_auc": lambda sums: _ratio(_dot(sums.severe, sums.hits / np.maximum(sums.alarms, 1)), sums.n_severe),
    "brier": lambda sums: sums.mean_of(sums.counts.squares),
    "log_loss": lambda sums: sums.mean_of(sums.counts.logs),
    "ece": _ece,
    "recall_at_budget": lambda sums: _ratio(sums.alerted[1], sums.n_severe),
    "precision_at_budget": lambda sums: _ratio(sums.alerted[1], sums.alerted[0]),
    "prevalence": lambda sums: sums.n_severe / sums.n,
    "alerted_share": lambda sums: sums.alerted[0] / sums.n,
}


def evaluate(
    y: npt.ArrayLike,
    p: npt.ArrayLike,
    budget: float = BUDGET,
    n_bootstrap: int = 1000,
    seed: int = 7,
    alerts: Alerts | None = None,
) -> Evaluation:
    """Metrics of probabilities `p` against labels `y` (0 or 1), both of shape (n accidents,).

    The accidents prioritised are the `budget` share with the highest p, unless `alerts` say otherwise (a
    threshold chosen on the calibration part, or the whole test set's cut when looking at a slice of it).

    Raises `DataError` on labels other than 0 and 1, probabilities outside 0 to 1, or missing values.
    """
    labels, scores = _checked(y, p)
    counts = _Counts(labels, scores, _checked_budget(budget), alerts)
    values = _values(labels, scores, counts)
    draws = [counts.metrics(rows) for rows in _draws(len(labels), n_bootstrap, seed)]
    metrics = {name: _estimate(name, value, [draw[name] for draw in draws]) for name, value in values.items()}
    return Evaluation(len(labels), int(labels.sum()), budget, metrics)


def compare(
    y: npt.ArrayLike,
    p_champion: npt.ArrayLike,
    p_challenger: npt.ArrayLike,
    metric: str = "pr_auc",
    budget: float = BUDGET,
    n_bootstrap: int = 1000,
    seed: int = 7,
    level: float = 0.95,
) -> Comparison:
    """Compare two models in `metric` by a paired bootstrap: both are measured on the same draws.

    Raises `SettingsError` on a metric that has no better and worse, `DataError` as `evaluate`.
    """
    if metric not in HIGHER_IS_BETTER:
        raise SettingsError(f"{metric!r} cannot rank models; use one of {', '.join(HIGHER_IS_BETTER)}.")
    sides = [_Counts(*_checked(y, p), _checked_budget(budget), None) for p in (p_champion, p_challenger)]
    accidents = len(sides[0].codes)
    old, new = (side.metric(metric) for side in sides)
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    difference = sign * (new - old)
    draws = [
        sign * (sides[1].metric(metric, rows) - sides[0].metric(metric, rows))
        for rows in _draws(accidents, n_bootstrap, seed)
    ]
    low, high = _quantiles(_centred(metric, difference, draws), level)
    return Comparison(metric, accidents, old, new, difference, low, high)


def threshold_for_budget(p_calibration: npt.ArrayLike, budget: float = BUDGET) -> float:
    """Return the probability from which to alert so that the share alerted comes nearest to `budget`.

    Give the calibration part, never the test. Equal scores are alerted together, so the share can differ.
    """
    scores, accidents = np.unique(_scores(p_calibration), return_counts=True)
    alerted = np.cumsum(accidents[::-1])[::-1] / accidents.sum()
    return float(scores[int(np.argmin(np.abs(alerted - _checked_budget(budget))))])


def alerts_for_budget(p: npt.ArrayLike, budget: float = BUDGET) -> Alerts:
    """Exactly the `budget` share of the accidents given with the highest scores; no label is looked at."""
    scores = np.sort(_scores(p))[::-1]
    wanted = _checked_budget(budget) * len(scores)
    threshold = float(scores[int(np.ceil(wanted)) - 1])
    above, at = int((scores > threshold).sum()), int((scores == threshold).sum())
    return Alerts(threshold, (wanted - above) / at)


def lift_curve(y: npt.ArrayLike, p: npt.ArrayLike, points: int = 101) -> dict[str, Array]:
    """Share of accidents alerted (0 to 1), recall, precision and lift over prevalence there.

    Each is float64 [points].
    """
    labels, scores = _checked(y, p)
    severe, other = _Counts(labels, scores, BUDGET, None).of()
    share = np.linspace(0, 1, points)
    reached = np.concatenate([[0.0], np.cumsum(severe + other)]) / len(labels)
    recall = np.interp(share, reached, np.concatenate([[0.0], np.cumsum(severe)]) / max(labels.sum(), 1))
    lift = np.divide(recall, share, out=np.full(points, np.nan), where=share > 0)
    return {"share": share, "recall": recall, "precision": lift * labels.mean(), "lift": lift}


def calibration_curve(y: npt.ArrayLike, p: npt.ArrayLike, bins: int = ECE_BINS) -> dict[str, Array]:
    """Return a reliability curve: one row for each bin of equal width that holds accidents.

    Columns: predicted mean, observed share with Wilson interval, accidents.
    """
    from scipy.stats import binomtest

    labels, scores = _checked(y, p)
    where = np.minimum((scores * bins).astype(int), bins - 1)
    n = np.bincount(where, minlength=bins)
    there = n > 0
    severe = np.bincount(where, weights=labels, minlength=bins)[there].astype(int)
    total = np.bincount(where, weights=scores, minlength=bins)[there]
    spans = [binomtest(k, m).proportion_ci(method="wilson") for k, m in zip(severe, n[there], strict=True)]
    return {
        "predicted": total / n[there],
        "observed": severe / n[there],
        "low": np.array([span.low for span in spans]),
        "high": np.array([span.high for span in spans]),
        "accidents": n[there].astype(float),
    }


def _values(y: Array, p: Array, counts: _Counts) -> dict[str, float]:
    """Return the metrics on the accidents as they are: scikit-learn's where it has them."""
    # Imported here because settings read the metric names above, and must load at once.
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

    values = counts.metrics()
    if 0 < y.sum() < len(y):
        values["roc_auc"] = float(roc_auc_score(y, p))
        values["pr_auc"] = float(average_precision_score(y, p))
        values["log_loss"] = float(log_loss(y, np.clip(p, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)))
    values["brier"] = float(brier_score_loss(y, p, pos_label=1))
    return values


def _estimate(name: str, value: float, draws: Sequence[float]) -> Estimate:
    spread = _centred(name, value, draws)
    if name == "ece":
        spread = np.maximum(spread, 0)
    return Estimate(float(value), *_quantiles(spread, 0.95))


def _centred(name: str, value: float, draws: Sequence[float]) -> Array:
    """Centre draws of ECE on its value: noise adds to every bin's gap, most to that of who has none."""
    spread = np.array(draws)
    return spread - spread.mean() + value if name == "ece" and len(spread) else spread


def _quantiles(draws: Array, level: float) -> tuple[float, float]:
    known = draws[np.isfinite(draws)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _draws(n: int, n_bootstrap: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, n, n) for _ in range(n_bootstrap))


def _checked(y: npt.ArrayLike, p: npt.ArrayLike) -> tuple[Array, Array]:
    labels, scores = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    if labels.ndim != 1 or labels.shape != scores.shape or not len(labels):
        raise DataError(
            f"labels {labels.shape} and probabilities {scores.shape} must be two equal, non-empty columns."
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError("labels must be 0 or 1; leave accidents without a label out before evaluating.")
    return labels, _scores(scores)


def _scores(p: npt.ArrayLike) -> Array:
    scores = np.asarray(p, dtype=float)
    if not len(scores) or not ((scores >= 0) & (scores <= 1)).all():
        raise DataError(
            "probabilities must lie between 0 and 1 with none missing; the model's output is broken."
        )
    return scores


def _checked_budget(budget: float) -> float:
    if not 0 < budget <= 1:
        raise SettingsError(
            f"budget: {budget} is not a share of accidents; give one above 0 and up to 1, like 0.2."
        )
    return budget


def _dot(a: Array, b: Array) -> float:
    """Sum of products without BLAS, whose threads spin on a busy machine: 20 s instead of 2 s a call."""
    return float(np.einsum("i,i->", a, b))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _json_numbers(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in values.items()
    }
