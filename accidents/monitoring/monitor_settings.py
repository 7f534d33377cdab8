"""The `monitor` section of params.yaml: when a window means something, and what then; docs/monitoring.md."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from accidents.features import FEATURES
from accidents.rollout.traffic_split import SHARES
from accidents.strict import Strict

LEAST_SPELLS = 3  # looks that see a canary fail before it is taken back for that: one slow answer is one look
KNOWN_AFTER = 10  # seconds of a share that no look reads: the API learns of it meanwhile, see `routes_every`


class WindowSettings(Strict):
    """Which predictions of the log are looked at: those of its stage, of the last days or the last so many.

    Of more than `most` so many are drawn.
    """

    days: int = Field(default=30, ge=1, le=3650)
    last: int | None = Field(default=None, ge=1)
    most: int = Field(default=100_000, ge=1_000)


class DriftPolicy(Strict):
    """When drift counts. How far a feature must move is a setting of the stack's data validator.

    `features`: so many drifted ones. `missing`: change of the share of accidents that do not state a feature.
    `ignore`: by default the commune, of which there are thousands, a few accidents each; the département and
    the coordinates tell of places.
    """

    features: int = Field(default=1, ge=1)
    missing: float = Field(default=0.1, gt=0, le=1)
    ignore: tuple[str, ...] = ("commune",)

    @field_validator("ignore")
    @classmethod
    def _are_features(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(names) - {feature.name for feature in FEATURES})
        if unknown:
            raise ValueError(
                f"no such feature: {', '.join(unknown)}; accidents/features/features_by_stage.py lists them"
            )
        return names


class PerformancePolicy(Strict):
    """What may be lost against the test part of training before it counts; null: measured, not judged.

    A loss counts if it is that large and, beyond that, larger than chance would give: `significance` is the
    chance of one false loss or more among the metrics judged.
    """

    significance: float = Field(default=0.01, gt=0, lt=0.5)
    roc_auc: float | None = Field(default=0.02, gt=0)
    pr_auc: float | None = Field(default=None, gt=0)
    brier: float | None = Field(default=None, gt=0)
    recall_at_budget: float | None = Field(default=None, gt=0)
    calibration_gap: float | None = Field(default=0.03, gt=0)

    @property
    def judged(self) -> dict[str, float]:
        """Metric to the loss that counts."""
        return {name: value for name in METRICS if (value := getattr(self, name)) is not None}


METRICS = tuple(name for name in PerformancePolicy.model_fields if name != "significance")


class RecalibrationPolicy(Strict):
    """When the probabilities alone are mended.

    The calibration gap is `gap` or more, and more than chance gives (`performance.significance`), on
    `min_labels` labelled accidents or more; the ranking is not lost.
    """

    gap: float = Field(default=0.015, gt=0, lt=1)
    min_labels: int = Field(default=1_000, ge=200)
    cooldown_days: float = Field(default=7, ge=0)


class ProbationPolicy(Strict):
    """When a version that the loop has deployed is taken back.

    `difference`: of the mean P(severe) of its predictions from the version before, on the same accidents.
    `canary`: percents of the accidents that it answers before it answers all; none: all at once.
    """

    canary: tuple[Annotated[int, Field(ge=SHARES[0], le=SHARES[-1])], ...] = ()
    minutes: float = Field(default=60, ge=0, le=24 * 60)
    every_seconds: float = Field(default=10, gt=0, le=600)
    error_rate: float = Field(default=0.02, gt=0, le=1)
    latency: float = Field(default=0.25, gt=0)
    difference: float = Field(default=0.1, gt=0, le=1)
    min_probes: int = Field(default=5, ge=1)
    min_predictions: int = Field(default=50, ge=1)

    @field_validator("canary")
    @classmethod
    def _goes_up(cls, shares: tuple[int, ...]) -> tuple[int, ...]:
        if any(later <= earlier for earlier, later in pairwise(shares)):
            raise ValueError("the shares of a canary must go up, as [5, 25, 50]")
        return shares

    @model_validator(mode="after")
    def _can_see_a_canary_fail(self) -> ProbationPolicy:
        """Raise ValueError if too few looks at a share see accidents of it: none until `KNOWN_AFTER`."""
        seconds = self.minutes * 60 / (len(self.canary) + 1)
        looks = max(self.min_probes, int(seconds // self.every_seconds) + 1)
        enough = LEAST_SPELLS + 1 + int(KNOWN_AFTER // self.every_seconds)
        if self.canary and looks < enough:
            raise ValueError(
                f"must allow {enough} looks at each share of the `canary`, and allows {looks}: one that "
                f"fails would not be found, for looks within {KNOWN_AFTER} s see nothing. "
                f"Set `min_probes` to {enough}, or `minutes` higher"
            )
        return self


class MonitorSettings(Strict):
    """All of it. `per_caller`: share of a window of predictions that one caller may be; None: any."""

    window: WindowSettings = WindowSettings()
    min_rows: int = Field(default=300, ge=30)
    min_labels: int = Field(default=500, ge=50)
    per_caller: float | None = Field(default=0.2, gt=0, le=1)
    drift: DriftPolicy = DriftPolicy()
    performance: PerformancePolicy = PerformancePolicy()
    recalibrate: RecalibrationPolicy | None = RecalibrationPolicy()
    confirm: int = Field(default=2, ge=1)
    clear_after: int = Field(default=2, ge=1)
    apart_hours: float = Field(default=20, ge=0)
    cooldown_days: float = Field(default=30, ge=0)
    probation: ProbationPolicy = ProbationPolicy()
