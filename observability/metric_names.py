"""Names of the metrics that rules and dashboards may use, beside those of serving/api/operations/metrics.py.

A test holds what is really pushed and exposed to these lists.
"""

from __future__ import annotations

from collections.abc import Mapping

JOB = "accidents_monitor"

# What the monitor pushes, with its labels; all of it also has `model`.
# It is made in accidents/monitoring/gauges_and_thresholds.py.
PUSHED: Mapping[str, tuple[str, ...]] = {
    "accidents_monitor_run_timestamp_seconds": (),
    "accidents_monitor_rows": (),
    "accidents_monitor_labelled_rows": (),
    "accidents_monitor_decision": ("action",),
    "accidents_monitor_trigger": ("kind",),
    "accidents_monitor_drifted_features": (),
    "accidents_monitor_drifted_share": (),
    "accidents_monitor_feature_drifted": ("feature",),
    "accidents_monitor_feature_statistic": ("feature", "method"),
    "accidents_monitor_feature_threshold": ("feature", "method"),
    "accidents_monitor_missing_share": ("feature", "of"),
    "accidents_monitor_mean_probability": ("of",),
    "accidents_monitor_performance": ("metric", "end"),
    "accidents_monitor_expected_performance": ("metric",),
    "accidents_monitor_labels_disagreeing": ("caller",),
    "accidents_champion_info": ("version",),
    "accidents_champion_learnt_until_timestamp_seconds": (),
    "accidents_champion_promoted_timestamp_seconds": (),
    "accidents_loop_outcomes": ("stage", "outcome"),
    "accidents_loop_stage_timestamp_seconds": ("stage", "outcome"),
}
# What we use of MLServer's own.
MODEL_SERVER = (
    "model_infer_request_success_total",
    "model_infer_request_failure_total",
    "model_infer_request_duration_sum",
    "model_infer_request_duration_count",
    "rest_server_requests_in_progress",
)
# What the supervisor of the model server tells; stacks/components/mlserver/supervisor.py.
SUPERVISOR = (
    "accidents_model_server_up",
    "accidents_model_server_gave_up",
    "accidents_model_server_restarts_total",
)
# Of every Python process that Prometheus' client is in.
PROCESS = (
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
)
# Of Prometheus itself.
OWN = ("up", "ALERTS")
