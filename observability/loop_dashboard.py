"""The dashboard of the loop: what was decided, what came of it, what alerts asked for."""

from __future__ import annotations

from observability.panels import Drawn, Part


def _count(title: str, stage: str, outcome: str) -> Drawn:
    query = f'sum(accidents_loop_outcomes{{stage="{stage}",outcome="{outcome}"}}) or vector(0)'
    return Drawn(title, "short", [(query, "")], "number")


PARTS = [
    Part("So far", [
        Drawn("Monitor ran", "dateTimeFromNow",
              [("1000 * accidents_monitor_run_timestamp_seconds", "")], "number"),
        _count("Trainings", "train", "ok"),
        _count("Promotions", "promote", "ok"),
        _count("Not promoted", "promote", "refused"),
        _count("Deployments", "deploy", "ok"),
        _count("Versions taken back", "rollback", "ok"),
    ]),
    Part("Decisions", [
        Drawn("Decided", "short", [("accidents_monitor_decision", "{{action}}")], "states"),
        Drawn("Because of", "short", [("accidents_monitor_trigger", "{{kind}}")], "states"),
        Drawn("Alerts firing", "short",
              [('count by(alertname, severity) (ALERTS{alertstate="firing"})',
                "{{alertname}}, {{severity}}")], "states"),
    ]),
    Part("Stages", [
        Drawn("How they ended", "short", [("accidents_loop_outcomes", "{{stage}} {{outcome}}")], "bars"),
        Drawn("When last", "dateTimeFromNow",
              [("1000 * accidents_loop_stage_timestamp_seconds", "{{stage}} {{outcome}}")], "bars"),
    ]),
    Part("What alerts asked for", [
        Drawn("Notifications", "short",
              [("sum by(outcome) (increase(accidents_hooks_total[$__rate_interval]))", "{{outcome}}")]),
        Drawn("Loops that ended", "short",
              [("sum by(exit) (increase(accidents_hook_loops_total[$__rate_interval]))", "{{exit}}"),
               ("accidents_hook_loop_running", "running")]),
    ]),
]  # fmt: skip
