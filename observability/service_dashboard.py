"""The dashboard of the service: traffic, errors, latency, saturation, the model server."""

from __future__ import annotations

from observability.panels import Panel, Part

VARIABLES = [("route", "accidents_http_requests_total")]
_API, _SERVER = '{job="accidents-api"}', '{job="accidents-model-server"}'


def _rate(metric: str, by: str = "", where: str = "") -> str:
    return f"sum{f' by({by})' if by else ''} (rate({metric}{where}[$__rate_interval]))"


def _quantile(share: float, metric: str, where: str = "") -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', 'le', where)})"


def _quantiles(metric: str, where: str = "") -> list[tuple[str, str]]:
    return [(_quantile(share, metric, where), f"{share:.0%}") for share in (0.5, 0.95, 0.99)]


def _mean(metric: str, by: str = "", where: str = "") -> str:
    return f"{_rate(f'{metric}_sum', by, where)} / {_rate(f'{metric}_count', by, where)}"


_PREDICT = '{route=~"/predict.*"}'
_ROUTE = '{route=~"$route"}'
PARTS = [
    Part("Now", [
        Panel("Ready", "short", [("accidents_ready", "")], "number",
              "1: predictions can be made. 0: the model server or the log is gone."),
        Panel("Model server", "short", [("accidents_model_server_up", "")], "number",
              "1: it answers its supervisor, which brings it back when it does not."),
        Panel("Predictions a minute", "short",
              [(f"60 * {_rate('accidents_predictions_total')}", "")], "number"),
        Panel("5xx, five minutes", "percentunit", [("accidents:errors:ratio5m", "")], "number"),
        Panel("Error budget burns", "short", [("accidents:errors:ratio1h / accidents:errors:budget", "")],
              "number", "1: the month's budget lasts a month. 14.4: two days."),
        Panel("Slow budget burns", "short", [("accidents:latency:ratio1h / accidents:latency:budget", "")],
              "number", "The same for answers that take more than 50 ms."),
        Panel("Alerts firing", "short", [('count(ALERTS{alertstate="firing"}) or vector(0)', "")], "number"),
    ]),
    Part("Traffic", [
        Panel("Requests by route", "reqps",
              [(_rate("accidents_http_requests_total", "route", _ROUTE), "{{route}}")]),
        Panel("Predictions by version", "reqps",
              [(_rate("accidents_predictions_total", "version"), "version {{version}}")]),
    ]),
    Part("Errors", [
        Panel("Requests by status", "reqps",
              [(_rate("accidents_http_requests_total", "status", _ROUTE), "{{status}}")]),
        Panel("Share of 5xx among predictions", "percentunit",
              [("accidents:errors:ratio5m", "5 minutes"), ("accidents:errors:ratio1h", "1 hour"),
               ("accidents:errors:budget", "budget")]),
        Panel("Model server calls that failed", "reqps",
              [(_rate("accidents_model_errors_total", "kind"), "{{kind}}")]),
        Panel("The model server was brought back", "short",
              [("sum by(fault) (increase(accidents_model_server_restarts_total[1h]))", "{{fault}}"),
               ("accidents_model_server_gave_up", "given up")], about="In an hour, and for which fault."),
        Panel("The prediction log, and keys", "reqps",
              [(_rate("accidents_log_errors_total"), "writes that failed"),
               (_rate("accidents_refused_keys_total"), "wrong keys")]),
    ]),
    Part("Latency", [
        Panel("Predictions", "s", _quantiles("accidents_http_request_seconds", _PREDICT)),
        Panel("95 % by route", "s",
              [("histogram_quantile(0.95, "
                f"{_rate('accidents_http_request_seconds_bucket', 'le, route', _ROUTE)})",
                "{{route}}")]),
        Panel("Calls of the model server", "s", _quantiles("accidents_model_call_seconds")),
        Panel("Commits of the prediction log", "s", _quantiles("accidents_log_commit_seconds")),
    ]),
    Part("Saturation", [
        Panel("Processor", "percentunit",
              [(f"rate(process_cpu_seconds_total{_API}[$__rate_interval])", "API"),
               (f"rate(process_cpu_seconds_total{_SERVER}[$__rate_interval])", "model server")],
              about="1 is one core; each of the two computes on one."),
        Panel("Memory", "bytes",
              [(f"process_resident_memory_bytes{_API}", "API"),
               (f"process_resident_memory_bytes{_SERVER}", "model server")]),
        Panel("Open files", "percentunit",
              [(f"process_open_fds{_API} / process_max_fds{_API}", "API"),
               (f"process_open_fds{_SERVER} / process_max_fds{_SERVER}", "model server")]),
        Panel("Accidents that wait for the model server", "short", [("sum(accidents_waiting)", "waiting")],
              about="Refused with 503 from `waiting` in configs/api.yaml on."),
        Panel("Accidents a call, predictions a commit", "short",
              [(_mean("accidents_model_call_rows"), "a call of the model server"),
               (_mean("accidents_log_commit_rows"), "a commit of the log")]),
    ]),
    Part("On trial", [
        Panel("Share of the canary, and whether there is a shadow", "percent",
              [("max by(role) (accidents_rollout_share)", "{{role}}")],
              about="A shadow gets a copy of every accident: 100."),
        Panel("Predictions by role", "reqps",
              [(_rate("accidents_predictions_total", "role, version"), "{{role}}, version {{version}}")]),
        Panel("Calls by role, 95 %", "s",
              [("histogram_quantile(0.95, "
                f"{_rate('accidents_model_call_seconds_bucket', 'le, role')})", "{{role}}")],
              about="The shadow's calls have many accidents each."),
        Panel("Calls that failed, by role", "reqps",
              [(_rate("accidents_model_errors_total", "role"), "{{role}}"),
               (_rate("accidents_challenger_fallbacks_total"), "fell to the champion")]),
        Panel("Copies for the shadow", "reqps",
              [(_rate("accidents_shadow_scores_total", "outcome"), "{{outcome}}")],
              about="dropped: it did not keep up. failed: it did not answer, or the log did not."),
    ]),
    Part("Model server", [
        Panel("Its requests", "reqps",
              [(_rate("model_infer_request_success_total", "model"), "{{model}}"),
               (_rate("model_infer_request_failure_total", "model"), "{{model}}, failed"),
               ("sum(rest_server_requests_in_progress)", "on their way")]),
        Panel("Its mean time", "s", [(_mean("model_infer_request_duration", "model"), "{{model}}")]),
        Panel("Up since", "dateTimeFromNow",
              [(f"1000 * process_start_time_seconds{_API}", "API"),
               (f"1000 * process_start_time_seconds{_SERVER}", "model server")], "number"),
    ]),
]  # fmt: skip
