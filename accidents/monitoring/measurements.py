"""What was measured on a window, and what was decided: the values that go through JSON, with a stable schema.

`references/monitor_report.schema.json` is the JSON schema of `MonitorReport`; a change that breaks readers
raises `SCHEMA`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

from accidents.strict import Strict

SCHEMA = 2
Action = Literal["keep", "alert", "recalibrate", "retrain"]
Kind = Literal["missing", "features", "predictions", "performance", "new_year"]
KINDS: tuple[Kind, ...] = ("missing", "features", "predictions", "performance", "new_year")
ACTIONS: tuple[Action, ...] = ("keep", "alert", "recalibrate", "retrain")
COOLED: tuple[Action, ...] = ("recalibrate", "retrain")  # after one, none of its kind for a while
CALIBRATION = ("calibration_gap", "brier", "ece")  # metrics that a recalibration can mend


class DescribedModel(Protocol):
    """What a champion is known by; a bundle has it."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is written of it: where its rows are from, and until when."""
        ...

    @property
    def digest(self) -> str:
        """The bundle's."""
        ...

    @property
    def stage(self) -> str:
        """What is known at prediction."""
        ...


class Champion(Strict):
    """Who is watched. `learnt_until`: the last month of its training and calibration, "2022-12"."""

    name: str
    version: str
    digest: str
    stage: str
    synthetic: bool
    learnt_until: str
    years: tuple[int, ...]

    @classmethod
    def of(cls, bundle: DescribedModel, name: str, version: str) -> Champion:
        """Return the champion whose bundle this is."""
        facts = bundle.facts
        return cls(
            name=name,
            version=version,
            digest=bundle.digest,
            stage=bundle.stage,
            synthetic=bool(facts["synthetic"]),
            learnt_until=facts["learnt_from"][-1],
            years=tuple(facts["years"]),
        )


class WindowFacts(Strict):
    """Which accidents were looked at. `source`: "prediction log", or what `--input` said.

    `predictions`: how many the window has, where it has more than are looked at; then `rows` were drawn.
    """

    source: str
    from_log: bool
    since: datetime | None = None
    until: datetime | None = None
    rows: int
    labelled: int
    predictions: int | None = None
    set_aside: int = 0
    first_month: str | None = None
    last_month: str | None = None
    complete_years: tuple[int, ...] = ()
    synthetic: bool | None = None


class FeatureDrift(Strict):
    """One feature of the window against the reference; shares are 0 to 1."""

    feature: str
    status: str
    drifted: bool
    method: str | None = None
    statistic: float | None = None
    threshold: float | None = None
    missing_reference: float
    missing_window: float
    missing_moved: bool


class DriftMeasures(Strict):
    """Drift of the features and of the probabilities.

    `missing`: features that lost (or gained) values; `broken`: those of which nothing is left.
    """

    reference_rows: int
    same_months: bool
    compared: int
    features: tuple[FeatureDrift, ...]
    drifted: tuple[str, ...]
    missing: tuple[str, ...]
    broken: tuple[str, ...]
    predictions_drifted: bool
    predictions_statistic: float | None = None
    mean_reference: float
    mean_window: float

    @property
    def share(self) -> float:
        """Drifted features among those that could be compared."""
        return len(self.drifted) / max(self.compared, 1)


class Figure(Strict):
    """A metric with its 95 % interval, beside what training promised; None where undefined.

    `hangs_on`: the caller without whose accidents and labels this one is not lost, or no gap to be mended.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    expected: float | None = None
    loss: float | None = None
    counts: bool = False
    hangs_on: str | None = None


class PerformanceMeasures(Strict):
    """Performance on the labelled accidents that the champion has not learnt from.

    `hangs_on`: the caller without whose accidents and labels nothing is lost.
    """

    accidents: int
    severe: int
    figures: tuple[Figure, ...]
    hangs_on: str | None = None

    @property
    def losses(self) -> tuple[Figure, ...]:
        """The metrics whose loss counts."""
        return tuple(figure for figure in self.figures if figure.counts)

    @property
    def proven(self) -> tuple[Figure, ...]:
        """Those that are lost without any one caller, too."""
        return tuple(figure for figure in self.losses if figure.hangs_on is None)

    @property
    def one_caller(self) -> str | None:
        """The caller without whom nothing is lost, if there is one."""
        if self.proven:
            return None
        return next((figure.hangs_on for figure in self.losses), self.hangs_on)

    @property
    def ranking_lost(self) -> bool:
        """Whether such a loss is of what only other trees can mend."""
        return any(figure.metric not in CALIBRATION for figure in self.proven)

    @property
    def calibration_gap(self) -> Figure | None:
        """Observed share of severe accidents less the mean prediction."""
        return next((figure for figure in self.figures if figure.metric == "calibration_gap"), None)


class CallerLabels(Strict):
    """A caller's labels of accidents of a published year, and how many are not what was published."""

    caller: str
    compared: int
    disagreeing: int
    p_value: float
    beyond_chance: bool

    @property
    def share(self) -> float:
        """Of those compared, the part that disagrees."""
        return self.disagreeing / self.compared


class Measurements(Strict):
    """Everything a decision is taken on, and for people `labels` and `notes`.

    `new_years`: labelled, whole, and later than the champion knows.
    """

    champion: Champion
    window: WindowFacts
    drift: DriftMeasures | None = None
    performance: PerformanceMeasures | None = None
    new_years: tuple[int, ...] = ()
    labels: tuple[CallerLabels, ...] = ()
    notes: tuple[str, ...] = ()


class LoopDecision(Strict):
    """What follows. `firing`: what was found now; `active`: what is held up from before too."""

    action: Action
    firing: tuple[Kind, ...]
    active: tuple[Kind, ...]
    reasons: tuple[str, ...]


class Past(Strict):
    """An earlier run as a decision needs it.

    `judged`: whether its window said anything. `completed`: whether the version it asked for was made.
    `misdated`: it was written with a clock that was ahead, so `created` is that of the run after it.
    `one_caller`: without whom nothing was lost.
    """

    created: datetime
    champion: str
    judged: bool
    completed: bool = True
    one_caller: str | None = None
    decision: LoopDecision
    misdated: bool = False


class MonitorReport(Strict):
    """What a monitor run leaves behind as JSON."""

    schema_version: int = SCHEMA
    created: datetime
    measurements: Measurements
    decision: LoopDecision
