"""A monitor report with something in every part, and the metrics of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import push_to_gateway

from accidents.monitoring.gauges_and_thresholds import JOB, Exposition, exposition
from accidents.monitoring.loop_table import STAGES
from accidents.monitoring.measurements import (
    CallerLabels,
    Champion,
    DriftMeasures,
    FeatureDrift,
    Figure,
    Kind,
    LoopDecision,
    Measurements,
    MonitorReport,
    PerformanceMeasures,
    WindowFacts,
)

MODEL = "accident-severity-dispatch"
METRICS = ("roc_auc", "pr_auc", "brier", "ece", "recall_at_budget", "calibration_gap")


def report(*active: Kind, created: datetime | None = None, **champion: Any) -> MonitorReport:
    """What a run leaves behind in which `active` was found."""
    facts: dict[str, Any] = {
        "name": MODEL, "version": "7", "digest": "a" * 64, "stage": "dispatch", "synthetic": True,
        "learnt_until": "2022-12", "years": (2021, 2022),
    }  # fmt: skip
    features = tuple(
        FeatureDrift(
            feature=name, status="compared", drifted=drifted, method="psi",
            statistic=0.3 if drifted else 0.02, threshold=0.1, missing_reference=0.05,
            missing_window=0.06, missing_moved=False,
        )
        for name, drifted in (("speed_limit", True), ("light", False))
    )  # fmt: skip
    drift = DriftMeasures(
        reference_rows=2_000, same_months=True, compared=2, features=features, drifted=("speed_limit",),
        missing=(), broken=(), predictions_drifted=False, predictions_statistic=0.02, mean_reference=0.31,
        mean_window=0.33,
    )  # fmt: skip
    figures = tuple(Figure(metric=name, value=0.8, low=0.7, high=0.9, expected=0.82) for name in METRICS)
    measured = Measurements(
        champion=Champion(**(facts | champion)),
        window=WindowFacts(source="prediction log", from_log=True, rows=900, labelled=600),
        drift=drift,
        performance=PerformanceMeasures(accidents=600, severe=190, figures=figures),
        labels=(CallerLabels(caller="lyon", compared=200, disagreeing=50, p_value=0.0, beyond_chance=True),),
    )
    decision = LoopDecision(
        action="alert" if active else "keep", firing=active, active=active, reasons=("a",)
    )
    return MonitorReport(created=created or datetime.now(UTC), measurements=measured, decision=decision)


def told(*active: Kind, **changes: Any) -> Exposition:
    """Its metrics, of a loop that has ended well in every stage, two days ago."""
    then = datetime.now(UTC) - timedelta(days=2)
    outcomes = {(stage, "ok"): (1, then) for stage in STAGES}
    found = report(*active, **changes)
    return exposition(found, found.measurements.champion, then, outcomes)


def push(address: str, *active: Kind, **changes: Any) -> None:
    """Push them as the monitor does."""
    registry = told(*active, **changes).registry
    push_to_gateway(address, job=JOB, registry=registry, grouping_key={"model": MODEL})
