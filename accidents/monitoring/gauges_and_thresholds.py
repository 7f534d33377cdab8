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
    """The gauges of one report. `registry` is what Prometheus' client pushes or writes.

    All have the label `model`: what several models tell may come to Prometheus from one place.
    """

    def __init__(self, model: str) -> None:
        self.registry = CollectorRegistry()
        self._model = model

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
        gauge = Gauge(name, about, ("model", *labels), registry=self.registry)
        for key, value in known.items():
            gauge.labels(self._model, *key).set(value)


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
    exposed = Exposition(champion.name)
    _run(exposed, report)
    if report.measurements.drift is not None:
        _drift(exposed, report.measurements.drift)
    if report.measurements.performance is not None:
        _performance(exposed, report.measurements.performance)
    _labels(exposed, report.measurements.labels)
    _champion(exposed, champion, promoted)
    _loop(exposed, outcomes)
    return exposed


def _run(exposed: Exposition, report: MonitorReport) -> None:
    window, decision = report.measurements.window, report.decision
    stamp = report.created.timestamp()
    exposed.set("accidents_monitor_run_timestamp_seconds", "When the monitor ran last", stamp)
    exposed.set("accidents_monitor_rows", "Accidents in the window", window.rows)
    exposed.set("accidents_monitor_labelled_rows", "Labelled accidents in the window", window.labelled)
    exposed.many(
        "accidents_monitor_decision", "1 for what was decided", ("action",),
        {(action,): float(action == decision.action) for action in ACTIONS},
    )  # fmt: skip
    exposed.many(
        "accidents_monitor_trigger", "1 for what is active", ("kind",),
        {(kind,): float(kind in decision.active) for kind in KINDS},
    )  # fmt: skip


def _drift(exposed: Exposition, drift: DriftMeasures) -> None:
    exposed.set("accidents_monitor_drifted_features", "Drifted features", len(drift.drifted))
    exposed.set("accidents_monitor_drifted_share", "Drifted share of the comparable features", drift.share)
    exposed.many(
        "accidents_monitor_feature_drifted", "1 if the feature has drifted", ("feature",),
        {(feature.feature,): float(feature.drifted) for feature in drift.features},
    )  # fmt: skip
    tested = [feature for feature in drift.features if feature.method is not None]
    exposed.many(
        "accidents_monitor_feature_statistic", "Statistic of the feature's drift test", ("feature", "method"),
        {(feature.feature, str(feature.method)): feature.statistic for feature in tested},
    )  # fmt: skip
    exposed.many(
        "accidents_monitor_feature_threshold", "Threshold of the feature's drift test", ("feature", "method"),
        {(feature.feature, str(feature.method)): feature.threshold for feature in tested},
    )  # fmt: skip
    exposed.many(
        "accidents_monitor_missing_share", "Share of accidents that do not state the feature",
        ("feature", "of"),
        {(feature.feature, "reference"): feature.missing_reference for feature in drift.features}
        | {(feature.feature, "window"): feature.missing_window for feature in drift.features},
    )  # fmt: skip
    exposed.many(
        "accidents_monitor_mean_probability", "Mean P(severe)", ("of",),
        {("reference",): drift.mean_reference, ("window",): drift.mean_window},
    )  # fmt: skip


def _performance(exposed: Exposition, performance: PerformanceMeasures) -> None:
    exposed.many(
        "accidents_monitor_performance", "Performance on labelled accidents", ("metric", "end"),
        {(measured.metric, end): getattr(measured, end) for measured in performance.figures
         for end in ("value", "low", "high")},
    )  # fmt: skip
    exposed.many(
        "accidents_monitor_expected_performance", "What the test part of training promised", ("metric",),
        {(measured.metric,): measured.expected for measured in performance.figures},
    )  # fmt: skip


def _labels(exposed: Exposition, labels: Sequence[CallerLabels]) -> None:
    exposed.many(
        "accidents_monitor_labels_disagreeing", "Share of a caller's labels that are not the published ones",
        ("caller",), {(of_caller.caller,): of_caller.share for of_caller in labels},
    )  # fmt: skip


def _champion(exposed: Exposition, champion: Champion, promoted: datetime | None) -> None:
    exposed.set("accidents_champion_info", "Which version is champion", 1, version=champion.version)
    year, month = map(int, champion.learnt_until.split("-"))
    learnt = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()
    exposed.set(
        "accidents_champion_learnt_until_timestamp_seconds", "End of what the champion has learnt", learnt
    )
    exposed.set(
        "accidents_champion_promoted_timestamp_seconds", "When it became champion",
        None if promoted is None else promoted.timestamp(),
    )  # fmt: skip


def _loop(exposed: Exposition, outcomes: Mapping[tuple[str, str], tuple[int, datetime]]) -> None:
    exposed.many(
        "accidents_loop_outcomes", "How often a stage of the loop ended so", ("stage", "outcome"),
        {key: float(count) for key, (count, _) in outcomes.items()},
    )  # fmt: skip
    exposed.many(
        "accidents_loop_stage_timestamp_seconds", "When a stage of the loop ended so last",
        ("stage", "outcome"),
        {key: moment.timestamp() for key, (_, moment) in outcomes.items()},
    )  # fmt: skip
