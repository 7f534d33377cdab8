"""What follows what in the loop: a test a row."""

from __future__ import annotations

import ast

import pytest

from accidents.monitoring.loop_table import NEXT, OUTCOMES, STAGES, Action, next_action
from tests.conftest import ROOT

# Of the loop as docs/monitoring.md tells it.
ROWS = {
    "monitor ok": Action.make_version,
    "monitor failed": Action.end,
    "train started": Action.make_version,
    "train ok": Action.judge_promotion,
    "train failed": Action.end,
    "train refused": Action.end,
    "train skipped": Action.end,
    "promote ok": Action.deploy,
    "promote refused": Action.end,
    "deploy started": Action.deploy,
    "deploy ok": Action.verify,
    "deploy failed": Action.roll_back,
    "verify started": Action.verify,
    "verify ok": Action.end,
    "verify failed": Action.roll_back,
    "rollback started": Action.roll_back,
    "rollback ok": Action.end,
    "rollback failed": Action.roll_back,
}


@pytest.mark.parametrize("row", ROWS)
def test_what_follows(row: str) -> None:
    stage, outcome = row.split()
    assert next_action(stage, outcome, "retrain") == ROWS[row]


@pytest.mark.parametrize(
    ("decided", "action"),
    [("keep", Action.end), ("alert", Action.end), (None, Action.end), ("retrain", Action.make_version),
     ("recalibrate", Action.make_version)],
)  # fmt: skip
def test_a_look_is_followed_by_what_it_decided(decided: str | None, action: Action) -> None:
    assert next_action("monitor", "ok", decided) == action


def test_a_promotion_before_a_crash_is_noted_and_not_trained_for_again() -> None:
    assert next_action("train", "started", promoted=True) == Action.note_promotion
    others = {row: action for row, action in ROWS.items() if row != "train started"}
    assert {row: next_action(*row.split(), "retrain", promoted=True) for row in others} == others


def test_every_event_that_the_loop_writes_has_a_row() -> None:
    """Read from its code: `_say(stage, outcome)`, of which an outcome may be a choice of two."""
    tree = ast.parse((ROOT / "commands" / "loop.py").read_text(encoding="utf-8"))
    calls = [one for one in ast.walk(tree) if isinstance(one, ast.Call)]
    written = {
        (stage.value, outcome.value)
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "_say"
        for stage in call.args[:1]
        for outcome in ast.walk(call.args[1])
        if isinstance(stage, ast.Constant) and isinstance(outcome, ast.Constant)
        if outcome.value in (*OUTCOMES, "started")
    }
    assert written == set(NEXT), "and no row is for what nobody writes"
    assert {stage for stage, _ in NEXT} == set(STAGES)
