"""The dashboard of the loop: what was decided, what came of it, what alerts asked for."""

from __future__ import annotations

from observability.panels import Panel, Part


def _count(title: str, stage: str, outcome: str) -> Panel:
    query = f'sum(accidents_loop_outcomes{{stage="{stage}",outcome="{outcome}"}}) or vector(0)'
    return Panel(title, "short", [(query, "")], "number")


PARTS = [
    Part("So far", [
        Panel("Monitor ran", "dateTimeFromNow",
              [("1000 * accidents_monitor_run_timestamp_seconds", "")], "number"),
        _count("Trainings", "train", "ok"),
        _count("Promotions", "promote", "ok"),
        _count("Not promoted", "promote", "refused"),
        _count("Deployments", "deploy", "ok"),
        _count("Versions taken back", "rollback", "ok"),
    ]),
    Part("Decisions", [
        Panel("Decided", "short", [("accidents_monitor_decision", "{{action}}")], "states"),
        Panel("Because of", "short", [("accidents_monitor_trigger", "{{kind}}")], "states"),
        Panel("Alerts firing", "short",
              [('count by(alertname, severity) (ALERTS{alertstate="firing"})',
                "{{alertname}}, {{severity}}")], "states"),
    ]),
    Part("Stages", [
        Panel("How they ended", "short", [("accidents_loop_outcomes", "{{stage}} {{outcome}}")], "bars"),
        Panel("When last", "dateTimeFromNow",
              [("1000 * accidents_loop_stage_timestamp_seconds", "{{stage}} {{outcome}}")], "bars"),
    ]),
    Part("What alerts asked for", [
        Panel("Notifications", "short",
              [("sum by(outcome) (increase(accidents_hooks_total[$__rate_interval]))", "{{outcome}}")]),
        Panel("Loops that ended", "short",
              [("sum by(exit) (increase(accidents_hook_loops_total[$__rate_interval]))", "{{exit}}"),
               ("accidents_hook_loop_running", "running")]),
    ]),
]  # fmt: skip
