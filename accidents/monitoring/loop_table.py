"""The loop as a table: what is to be done after each stage that began or ended.

One table for a loop that goes its way and for one that a crash left in the middle: what is done next follows
from the last event that was written down, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

STAGES = ("monitor", "train", "promote", "deploy", "verify", "rollback")
OUTCOMES = ("ok", "failed", "refused", "skipped")  # of a stage that has ended; one that begins has "started"
MADE_BY = ("retrain", "recalibrate")  # decisions of monitoring that ask for a version


class Action(StrEnum):
    """What a loop does next."""

    make_version = "make_version"
    note_promotion = "note_promotion"  # somebody became champion before a crash: the candidate, most likely
    judge_promotion = "judge_promotion"
    deploy = "deploy"
    verify = "verify"
    roll_back = "roll_back"
    end = "end"


STAGE_OF: Mapping[Action, str | None] = {
    Action.make_version: "train",
    Action.note_promotion: "promote",
    Action.judge_promotion: "promote",
    Action.deploy: "deploy",
    Action.verify: "verify",
    Action.roll_back: "rollback",
    Action.end: None,
}

# By stage and outcome. "started" is the last event only after a crash: the stage is done again.
NEXT: Mapping[tuple[str, str], Action] = {
    ("monitor", "ok"): Action.make_version,
    ("monitor", "failed"): Action.end,
    ("train", "started"): Action.make_version,
    ("train", "ok"): Action.judge_promotion,
    ("train", "failed"): Action.end,
    ("train", "refused"): Action.end,
    ("train", "skipped"): Action.end,
    ("promote", "ok"): Action.deploy,
    ("promote", "refused"): Action.end,
    ("deploy", "started"): Action.deploy,
    ("deploy", "ok"): Action.verify,
    ("deploy", "failed"): Action.roll_back,
    ("verify", "started"): Action.verify,
    ("verify", "ok"): Action.end,
    ("verify", "failed"): Action.roll_back,
    ("rollback", "started"): Action.roll_back,
    ("rollback", "ok"): Action.end,
    ("rollback", "failed"): Action.roll_back,  # until it is taken back, it may be who is champion
}


def next_action(stage: str, outcome: str, decided: str | None = None, promoted: bool = False) -> Action:
    """Return what follows an event.

    Parameters
    ----------
    decided : what monitoring decided, of an event of `monitor`.
    promoted : whether another version has become champion since the loop began.
    """
    if (stage, outcome) == ("monitor", "ok") and decided not in MADE_BY:
        return Action.end
    if (stage, outcome) == ("train", "started") and promoted:
        return Action.note_promotion
    return NEXT[stage, outcome]
