"""The history of monitoring: every decision, and every stage of every loop that followed from one.

It is kept in the database of the prediction log, in tables of its own; nothing in them is ever changed. If
they are gone they are made anew: hysteresis and cooldown then begin from nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Column, Integer, MetaData, Table, Text, func, select

from accidents.monitoring.measurements import Decision, MonitorReport, Past
from accidents.prediction_database import PredictionDatabase
from accidents.prediction_tables import Schema, UtcDateTime

VERSION = 1
PASTS = 50  # earlier runs that a decision is given: more than any hysteresis or cooldown looks back
STAGES = ("monitor", "train", "promote", "deploy", "verify", "rollback")
OUTCOMES = ("ok", "failed", "refused", "skipped")
_ENDS = {
    "verify": {"ok"},
    "rollback": {"ok", "failed"},
    "promote": {"refused"},
    "train": {"failed", "refused", "skipped"},
}

TABLES = MetaData()
VERSIONS = Table("monitor_history_version", TABLES, Column("version", Integer, primary_key=True))
RUNS = Table(
    "monitor_runs",
    TABLES,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("created", UtcDateTime, nullable=False),
    Column("loop_id", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("model_digest", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("labelled", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("judged", Integer, nullable=False),
    Column("reasons", Text, nullable=False),  # a JSON list
    Column("report", Text, nullable=False),  # a MonitorReport as JSON
)
EVENTS = Table(
    "loop_events",
    TABLES,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("loop_id", Text, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("model", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("outcome", Text, nullable=False),  # started, or one of OUTCOMES
    Column("model_version", Text),
    Column("detail", Text, nullable=False),  # a JSON object
)
MONITOR_HISTORY = Schema(
    "monitoring history", TABLES, VERSIONS, VERSION, "run --pipeline monitor once", mended=True
)


@dataclass(frozen=True)
class Event:
    """One stage of a loop as it began or ended."""

    loop_id: str
    created: datetime
    model: str
    stage: str
    outcome: str
    version: str | None
    detail: Mapping[str, Any]

    @property
    def ends_loop(self) -> bool:
        """Whether nothing follows it."""
        if self.stage == "monitor":
            return self.outcome != "ok" or self.detail.get("action") not in ("retrain", "recalibrate")
        return self.outcome in _ENDS.get(self.stage, ())


class History:
    """Decisions and loops in SQLite or PostgreSQL.

    Every method raises PredictionLogError when the database is gone, full, locked, or of another version.
    """

    def __init__(self, url: str) -> None:
        """Opens nothing yet. `url` is that of the prediction log."""
        self._database = PredictionDatabase(url, MONITOR_HISTORY)
        self.place = self._database.place

    def create(self) -> None:
        """Make the tables that are not there; what is there stays."""
        self._database.create()

    def add_run(self, report: MonitorReport, judged: bool, loop_id: str) -> None:
        """Write down a decision, and the loop that it was taken in."""
        measured, decision = report.measurements, report.decision
        row = {
            "created": report.created,
            "loop_id": loop_id,
            "stage": measured.champion.stage,
            "model_version": measured.champion.version,
            "model_digest": measured.champion.digest,
            "source": measured.window.source,
            "rows": measured.window.rows,
            "labelled": measured.window.labelled,
            "action": decision.action,
            "judged": int(judged),
            "reasons": json.dumps(decision.reasons),
            "report": report.model_dump_json(),
        }
        self._database.run(lambda connection: connection.execute(RUNS.insert(), row), write=True)

    def past(self, stage: str, count: int = PASTS) -> list[Past]:
        """The newest decisions about a stage's champions, in the order they were written."""
        found = self._reports(stage, count)
        undone = self._undone([loop_id for _, _, loop_id in found])
        return [_past(report, judged, loop_id not in undone) for report, judged, loop_id in found]

    def reports(self, stage: str, count: int = PASTS) -> list[MonitorReport]:
        """The newest reports of a stage, in the order they were written."""
        return [report for report, _, _ in self._reports(stage, count)]

    def add_event(
        self,
        loop_id: str,
        moment: datetime,
        model: str,
        stage: str,
        outcome: str,
        version: str | None = None,
        **detail: Any,
    ) -> None:
        """Write down how a stage of a loop began ("started") or ended."""
        row = {
            "loop_id": loop_id,
            "created": moment,
            "model": model,
            "stage": stage,
            "outcome": outcome,
            "model_version": version,
            "detail": json.dumps(detail, default=str),
        }
        self._database.run(lambda connection: connection.execute(EVENTS.insert(), row), write=True)

    def unfinished(self, model: str) -> list[Event]:
        """The events of the newest loop if a crash left it in the middle; else none."""
        last = select(func.max(EVENTS.c.id)).where(EVENTS.c.model == model).scalar_subquery()
        of_loop = select(EVENTS.c.loop_id).where(EVENTS.c.id == last).scalar_subquery()
        query = select(EVENTS).where(EVENTS.c.loop_id == of_loop).order_by(EVENTS.c.id)
        events = self._events(query)
        return [] if not events or events[-1].ends_loop else events

    def events(self, model: str, count: int = 20) -> list[Event]:
        """The newest events of a model's loops, in the order they were written."""
        newest = select(EVENTS).where(EVENTS.c.model == model).order_by(EVENTS.c.id.desc()).limit(count)
        return self._events(newest)[::-1]

    def outcomes(self, model: str) -> dict[tuple[str, str], tuple[int, datetime]]:
        """Of each stage and outcome how often it was, and when last."""
        query = (
            select(EVENTS.c.stage, EVENTS.c.outcome, func.count(), func.max(EVENTS.c.id))
            .where(EVENTS.c.model == model, EVENTS.c.outcome != "started")
            .group_by(EVENTS.c.stage, EVENTS.c.outcome)
        )

        def read(connection: Any) -> dict[tuple[str, str], tuple[int, datetime]]:
            found = connection.execute(query).all()
            ids = [row[3] for row in found]
            moments = dict(
                connection.execute(select(EVENTS.c.id, EVENTS.c.created).where(EVENTS.c.id.in_(ids))).all()
            )
            return {(row[0], row[1]): (row[2], moments[row[3]]) for row in found}

        return self._database.run(read, write=False)

    def close(self) -> None:
        """Give back all connections."""
        self._database.close()

    def _undone(self, loop_ids: Sequence[str]) -> set[str]:
        """The loops whose training failed or was not wanted: what they were asked for is still to be done."""
        query = select(EVENTS.c.loop_id).where(
            EVENTS.c.loop_id.in_(loop_ids),
            EVENTS.c.stage == "train",
            EVENTS.c.outcome.in_(("failed", "skipped")),
        )
        return set(self._database.run(lambda connection: connection.scalars(query).all(), write=False))

    def _reports(self, stage: str, count: int) -> list[tuple[MonitorReport, bool, str]]:
        query = select(RUNS.c.report, RUNS.c.judged, RUNS.c.loop_id).where(RUNS.c.stage == stage)
        query = query.order_by(RUNS.c.id.desc()).limit(count)
        rows: Sequence[Any] = self._database.run(
            lambda connection: connection.execute(query).all(), write=False
        )
        return [
            (MonitorReport.model_validate_json(row.report), bool(row.judged), row.loop_id)
            for row in reversed(rows)
        ]

    def _events(self, query: Any) -> list[Event]:
        rows = self._database.run(lambda connection: connection.execute(query).all(), write=False)
        return [
            Event(
                row.loop_id,
                row.created,
                row.model,
                row.stage,
                row.outcome,
                row.model_version,
                json.loads(row.detail),
            )
            for row in rows
        ]


def new_loop() -> str:
    """An identity for a loop."""
    return uuid4().hex


def _past(report: MonitorReport, judged: bool, completed: bool) -> Past:
    measured, decision = report.measurements, report.decision
    drift = measured.drift
    return Past(
        created=report.created,
        champion=measured.champion.digest,
        judged=judged,
        completed=completed,
        decision=Decision.model_validate(decision.model_dump()),
        missing_window={one.feature: one.missing_window for one in drift.features} if drift else {},
        from_log=measured.window.from_log,
    )
