"""Measurements, decisions and reports for the tests of monitoring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from accidents.monitoring.loop_decision import decide, why_not_judged
from accidents.monitoring.measurements import (
    Champion,
    DriftMeasures,
    FeatureDrift,
    Figure,
    LoopDecision,
    Measurements,
    MonitorReport,
    Past,
    PerformanceMeasures,
    WindowFacts,
)
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.monitoring.probation import Verdict

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
POLICY = MonitorSettings()
CHAMPION = Champion(
    name="accident-severity-dispatch", version="3", digest="a" * 64, stage="dispatch", synthetic=False,
    learnt_until="2025-12", years=(2024, 2025, 2026),
)  # fmt: skip


def feature(name: str, drifted: bool = False, missing: float = 0.02, moved: bool = False) -> FeatureDrift:
    return FeatureDrift(
        feature=name, status="compared", drifted=drifted, method="wasserstein",
        statistic=0.3 if drifted else 0.01, threshold=0.1,
        missing_reference=0.02, missing_window=missing, missing_moved=moved,
    )  # fmt: skip


def drift(
    drifted: Sequence[str] = (),
    missing: Sequence[str] = (),
    broken: Sequence[str] = (),
    predictions: bool = False,
) -> DriftMeasures:
    names = dict.fromkeys(("hour", "light", "cars", *drifted, *missing, *broken))
    shares = {**dict.fromkeys(missing, 0.5), **dict.fromkeys(broken, 1.0)}
    return DriftMeasures(
        reference_rows=2_000,
        same_months=True,
        compared=len(names),
        features=tuple(feature(one, one in drifted, shares.get(one, 0.02), one in shares) for one in names),
        drifted=tuple(drifted),
        missing=(*missing, *broken),
        broken=tuple(broken),
        predictions_drifted=predictions,
        mean_reference=0.35,
        mean_window=0.45 if predictions else 0.35,
    )


def performance(lost: bool = False) -> PerformanceMeasures:
    roc_auc = 0.70 if lost else 0.81
    return PerformanceMeasures(
        accidents=1_000,
        severe=350,
        figures=(
            Figure(metric="roc_auc", value=roc_auc, low=roc_auc - 0.02, high=roc_auc + 0.02, expected=0.81,
                   loss=0.81 - roc_auc, counts=lost),
        ),
    )  # fmt: skip


def shifted(gap: float, accidents: int = 2_000, ranking_lost: bool = False) -> PerformanceMeasures:
    """A calibration gap, with the interval that so many accidents give."""
    lost, half = performance(ranking_lost), 1.96 * 0.45 / accidents**0.5
    figure = Figure(metric="calibration_gap", value=gap, low=gap - half, high=gap + half, expected=0.0,
                    loss=abs(gap), counts=abs(gap) >= 0.03)  # fmt: skip
    return lost.model_copy(update={"accidents": accidents, "figures": (*lost.figures, figure)})


def measurements(**changes: Any) -> Measurements:
    """A healthy window of 1,000 logged accidents, with these changes; `window`, `champion` by field."""
    window = {
        "source": "prediction log", "from_log": True, "rows": 1_000, "labelled": 1_000,
        "first_month": "2026-10", "last_month": "2026-11", **changes.pop("window", {}),
    }  # fmt: skip
    champion = CHAMPION.model_copy(update=changes.pop("champion", {}))
    usual: dict[str, Any] = {"drift": drift(), "performance": performance()}
    return Measurements(champion=champion, window=WindowFacts(**window), **usual | changes)


def past(
    now: Measurements,
    history: Sequence[Past],
    days_ago: float,
    policy: MonitorSettings = POLICY,
    **fields: Any,
) -> Past:
    """What a window so many days ago left in the history."""
    created = NOW - timedelta(days=days_ago)
    decision = decide(now, history, policy, created)
    one_caller = now.performance.one_caller if now.performance else None
    return Past(created=created, champion=now.champion.digest, judged=not why_not_judged(now, policy),
                one_caller=one_caller, decision=decision, **fields)  # fmt: skip


def walk(*windows: Measurements, policy: MonitorSettings = POLICY, every: float = 1) -> list[LoopDecision]:
    """The decisions of windows that follow each other, `every` so many days, the last one now."""
    history: list[Past] = []
    for place, one in enumerate(windows):
        history.append(past(one, history, (len(windows) - 1 - place) * every, policy))
    return [one.decision for one in history]


def report(now: Measurements | None = None, created: datetime = NOW) -> MonitorReport:
    measured = now or measurements()
    return MonitorReport(
        created=created, measurements=measured, decision=decide(measured, [], POLICY, created)
    )  # fmt: skip


def verdict(stays: bool = True, *reasons: str) -> Verdict:
    """Of a probation in which next to nothing was seen."""
    return Verdict(
        stays=stays, reasons=reasons, probes=3, failed=0, slowest=0.01, predictions=0, difference=None
    )
