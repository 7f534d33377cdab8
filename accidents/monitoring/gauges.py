"""A monitor report, and the outcomes of loops, as Prometheus gauges: for a Pushgateway or a textfile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from accidents.monitoring.measurements import (
    ACTIONS,
    KINDS,
    CallerLabels,
    Champion,
    DriftMeasures,
    MonitorReport,
    PerformanceMeasures,
)

JOB = "accidents_monitor"


class Exposition:
    """The gauges of one report. `registry` is what Prometheus' client pushes or writes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def text(self) -> str:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry).decode()

    def set(self, name: str, about: str, value: float | None, **labels: str) -> None:
        """One gauge of one value; nothing where it is not known."""
        self.many(name, about, tuple(labels), {tuple(labels.values()): value})

    def many(
        self, name: str, about: str, labels: tuple[str, ...], values: Mapping[Any, float | None]
    ) -> None:
        """One gauge with a sample for each known value."""
        known = {key: value for key, value in values.items() if value is not None}
        if not known:
            return
        gauge = Gauge(name, about, labels, registry=self.registry)
        for key, value in known.items():
            (gauge.labels(*key) if labels else gauge).set(value)


def exposition(
    report: MonitorReport,
    champion: Champion,
    promoted: datetime | None,
    outcomes: Mapping[tuple[str, str], tuple[int, datetime]],
) -> Exposition:
    """Everything there is to tell.

    Parameters
    ----------
    champion : who is champion now; the report may have led to another.
    promoted : since when, None where it is not known.
    outcomes : `History.outcomes`.
    """
    told = Exposition()
    _run(told, report)
    if report.measurements.drift is not None:
        _drift(told, report.measurements.drift)
    if report.measurements.performance is not None:
        _performance(told, report.measurements.performance)
    _labels(told, report.measurements.labels)
    _champion(told, champion, promoted)
    _loop(told, outcomes)
    return told


def _run(told: Exposition, report: MonitorReport) -> None:
    window, decision = report.measurements.window, report.decision
    stamp = report.created.timestamp()
    told.set("accidents_monitor_run_timestamp_seconds", "When the monitor ran last", stamp)
    told.set("accidents_monitor_rows", "Accidents in the window", window.rows)
    told.set("accidents_monitor_labelled_rows", "Labelled accidents in the window", window.labelled)
    told.many(
        "accidents_monitor_decision", "1 for what was decided", ("action",),
        {(action,): float(action == decision.action) for action in ACTIONS},
    )  # fmt: skip
    told.many(
        "accidents_monitor_trigger", "1 for what is active", ("kind",),
        {(kind,): float(kind in decision.active) for kind in KINDS},
    )  # fmt: skip


def _drift(told: Exposition, drift: DriftMeasures) -> None:
    told.set("accidents_monitor_drifted_features", "Drifted features", len(drift.drifted))
    told.set("accidents_monitor_drifted_share", "Drifted share of the comparable features", drift.share)
    told.many(
        "accidents_monitor_feature_drifted", "1 if the feature has drifted", ("feature",),
        {(one.feature,): float(one.drifted) for one in drift.features},
    )  # fmt: skip
    tested = [one for one in drift.features if one.method is not None]
    for name, about, attribute in (
        ("statistic", "Statistic of the feature's drift test", "statistic"),
        ("threshold", "Threshold of the feature's drift test", "threshold"),
    ):
        told.many(
            f"accidents_monitor_feature_{name}", about, ("feature", "method"),
            {(one.feature, str(one.method)): getattr(one, attribute) for one in tested},
        )  # fmt: skip
    told.many(
        "accidents_monitor_missing_share", "Share of accidents that do not state the feature",
        ("feature", "of"),
        {(one.feature, "reference"): one.missing_reference for one in drift.features}
        | {(one.feature, "window"): one.missing_window for one in drift.features},
    )  # fmt: skip
    told.many(
        "accidents_monitor_mean_probability", "Mean P(severe)", ("of",),
        {("reference",): drift.mean_reference, ("window",): drift.mean_window},
    )  # fmt: skip


def _performance(told: Exposition, performance: PerformanceMeasures) -> None:
    told.many(
        "accidents_monitor_performance", "Performance on labelled accidents", ("metric", "end"),
        {(one.metric, end): getattr(one, end) for one in performance.figures
         for end in ("value", "low", "high")},
    )  # fmt: skip
    told.many(
        "accidents_monitor_expected_performance", "What the test part of training promised", ("metric",),
        {(one.metric,): one.expected for one in performance.figures},
    )  # fmt: skip


def _labels(told: Exposition, labels: Sequence[CallerLabels]) -> None:
    told.many(
        "accidents_monitor_labels_disagreeing", "Share of a caller's labels that are not the published ones",
        ("caller",), {(one.caller,): one.share for one in labels},
    )  # fmt: skip


def _champion(told: Exposition, champion: Champion, promoted: datetime | None) -> None:
    told.set("accidents_champion_info", "Which version is champion", 1, version=champion.version)
    year, month = map(int, champion.learnt_until.split("-"))
    learnt = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()
    told.set(
        "accidents_champion_learnt_until_timestamp_seconds", "End of what the champion has learnt", learnt
    )
    told.set(
        "accidents_champion_promoted_timestamp_seconds", "When it became champion",
        None if promoted is None else promoted.timestamp(),
    )  # fmt: skip


def _loop(told: Exposition, outcomes: Mapping[tuple[str, str], tuple[int, datetime]]) -> None:
    told.many(
        "accidents_loop_outcomes", "How often a stage of the loop ended so", ("stage", "outcome"),
        {key: float(count) for key, (count, _) in outcomes.items()},
    )  # fmt: skip
    told.many(
        "accidents_loop_stage_timestamp_seconds", "When a stage of the loop ended so last",
        ("stage", "outcome"),
        {key: moment.timestamp() for key, (_, moment) in outcomes.items()},
    )  # fmt: skip
