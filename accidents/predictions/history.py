"""The history of monitoring: every decision, and every stage of every loop that followed from one.

It is kept in the database of the prediction log, in tables of its own; nothing in them is ever changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Table, exists, func, or_, select

from accidents.monitoring.loop_table import Action, next_action
from accidents.monitoring.measurements import COOLED, LoopDecision, MonitorReport, Past
from accidents.monitoring.monitor_settings import MonitorSettings
from accidents.predictions.database import PredictionDatabase
from accidents.predictions.database_tables import EVENTS, RUNS

SHOWN = 50  # earlier runs in a picture
DEFAULT_POLICY = MonitorSettings()
_MADE_ONE = select(EVENTS.c.loop_id).where(EVENTS.c.step == "train", EVENTS.c.outcome == "ok")


@dataclass(frozen=True)
class Look:
    """A run without its report; `misdated`: it is dated in the future, and `created` is put right."""

    created: datetime
    judged: bool
    champion: str
    misdated: bool


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
        return next_action(self.stage, self.outcome, self.detail.get("action")) == Action.end


class History:
    """Decisions and loops in SQLite or PostgreSQL.

    Every method raises PredictionLogError when the database is gone, full, locked, or of another version.
    """

    def __init__(self, at: str | PredictionDatabase) -> None:
        """Open nothing yet. `at`: an address, or the database of a store."""
        self._database = PredictionDatabase(at) if isinstance(at, str) else at
        self.place = self._database.place

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
        self._write(RUNS, row, ("loop_id", "created"))

    def past(
        self,
        stage: str,
        policy: MonitorSettings = DEFAULT_POLICY,
        champion: str | None = None,
        now: datetime | None = None,
    ) -> list[Past]:
        """Return the decisions about a stage's champions that a further one depends on, in the order written.

        That are those of the last windows, however often somebody looked in between, and the last retraining,
        however long ago.

        Parameters
        ----------
        champion : its digest: only its own windows say how far to look back.
        now : runs dated later were written with a clock that was ahead.
        """
        looks = self._looks(stage, now or datetime.now(UTC))
        first = _first_needed(looks, policy, champion)
        acted = self._last_of_each_action(stage)
        query = select(RUNS.c.id, RUNS.c.report, RUNS.c.loop_id).where(RUNS.c.stage == stage)
        query = query.where(or_(RUNS.c.id >= first, RUNS.c.id.in_(acted))).order_by(RUNS.c.id)
        rows = self._rows(query)
        done = self._done([row.loop_id for row in rows])
        return [
            _past(MonitorReport.model_validate_json(row.report), looks[row.id], row.loop_id in done)
            for row in rows
        ]

    def report_before(self, stage: str, source: str, moment: datetime) -> MonitorReport | None:
        """Return the newest report of a source that was written before `moment`, else its oldest.

        Of those whose window said something, on a stack with a data validator; None: there is none yet.
        """
        measured = RUNS.c.report.contains('"drift":{')
        query = select(RUNS.c.report).where(
            RUNS.c.stage == stage, RUNS.c.source == source, RUNS.c.judged == 1, measured
        )
        before = query.where(RUNS.c.created < moment).order_by(RUNS.c.id.desc()).limit(1)
        rows = self._rows(before) or self._rows(query.order_by(RUNS.c.id).limit(1))
        return MonitorReport.model_validate_json(rows[0].report) if rows else None

    def reports(self, stage: str, count: int = SHOWN) -> list[MonitorReport]:
        """Return the newest reports of a stage, in the order they were written."""
        query = select(RUNS.c.report).where(RUNS.c.stage == stage).order_by(RUNS.c.id.desc()).limit(count)
        return [MonitorReport.model_validate_json(row.report) for row in reversed(self._rows(query))]

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
            "step": stage,
            "outcome": outcome,
            "model_version": version,
            "detail": json.dumps(detail, default=str),
        }
        self._write(EVENTS, row, ("loop_id", "step", "outcome", "created"))

    def unfinished(self, model: str) -> list[Event]:
        """Return the events of the newest loop if a crash left it in the middle; else none."""
        events = self.newest_loop(model)
        return [] if not events or events[-1].ends_loop else events

    def newest_loop(self, model: str) -> list[Event]:
        """Return the events of the newest loop, ended or not."""
        last = select(func.max(EVENTS.c.id)).where(EVENTS.c.model == model).scalar_subquery()
        of_loop = select(EVENTS.c.loop_id).where(EVENTS.c.id == last).scalar_subquery()
        query = select(EVENTS).where(EVENTS.c.loop_id == of_loop).order_by(EVENTS.c.id)
        return self._events(query)

    def events(self, model: str, count: int = 20, looks: bool = True) -> list[Event]:
        """Return the newest events of a model's loops, in the order written; `looks`: those of looks too."""
        wanted = select(EVENTS).where(EVENTS.c.model == model)
        if not looks:
            wanted = wanted.where(EVENTS.c.step != "monitor")
        return self._events(wanted.order_by(EVENTS.c.id.desc()).limit(count))[::-1]

    def outcomes(self, model: str) -> dict[tuple[str, str], tuple[int, datetime]]:
        """Of each stage and outcome how often it was, and when last."""
        query = (
            select(EVENTS.c.step, EVENTS.c.outcome, func.count(), func.max(EVENTS.c.id))
            .where(EVENTS.c.model == model, EVENTS.c.outcome != "started")
            .group_by(EVENTS.c.step, EVENTS.c.outcome)
        )

        counted = self._rows(query)
        last = select(EVENTS.c.id, EVENTS.c.created).where(EVENTS.c.id.in_([row[3] for row in counted]))
        moments = {row.id: row.created for row in self._rows(last)}
        return {(row[0], row[1]): (row[2], moments[row[3]]) for row in counted}

    def close(self) -> None:
        """Give back all connections."""
        self._database.close()

    def _done(self, loop_ids: Sequence[str]) -> set[str]:
        """Return loops that have made a version; what the others were asked for is left to do."""
        return {row.loop_id for row in self._rows(_MADE_ONE.where(EVENTS.c.loop_id.in_(loop_ids)))}

    def _last_of_each_action(self, stage: str) -> list[int]:
        """Return the runs that decided the last retraining and recalibration, of those that led to one."""
        query = select(func.max(RUNS.c.id).label("id")).where(
            RUNS.c.stage == stage, RUNS.c.action.in_(COOLED), RUNS.c.loop_id.in_(_MADE_ONE)
        )
        return [row.id for row in self._rows(query.group_by(RUNS.c.action))]

    def _looks(self, stage: str, now: datetime) -> dict[int, Look]:
        """Every run of a stage by its id, in the order written.

        One that is dated in the future took place before the one that was written after it.
        """
        query = select(RUNS.c.id, RUNS.c.created, RUNS.c.judged, RUNS.c.model_digest)
        looks: list[tuple[int, Look]] = []
        after = now
        for row in reversed(self._rows(query.where(RUNS.c.stage == stage).order_by(RUNS.c.id))):
            after = min(row.created, after) if row.created > now else row.created
            looks.append((row.id, Look(after, bool(row.judged), row.model_digest, row.created > now)))
        return dict(reversed(looks))

    def _rows(self, query: Any) -> Sequence[Any]:
        return self._database.run(lambda connection: connection.execute(query).all(), write=False)

    def _write(self, table: Table, row: Mapping[str, Any], identity: Sequence[str]) -> None:
        """Add a row, unless one like it in these columns is there: of a commit that was told to nobody."""
        same = select(exists().where(*(table.c[name] == row[name] for name in identity)))

        def work(connection: Connection) -> None:
            if not connection.scalar(same):
                connection.execute(table.insert(), row)

        self._database.run(work, write=True)

    def _events(self, query: Any) -> list[Event]:
        return [
            Event(
                row.loop_id,
                row.created,
                row.model,
                row.step,
                row.outcome,
                row.model_version,
                json.loads(row.detail),
            )
            for row in self._rows(query)
        ]


def new_loop() -> str:
    """Return an identity for a loop."""
    return uuid4().hex


def _first_needed(looks: dict[int, Look], policy: MonitorSettings, champion: str | None) -> int:
    """Return the first run that hysteresis or confirmation may depend on."""
    windows, last, first = max(policy.clear_after, policy.confirm) + 2, None, 0
    for number, look in reversed(looks.items()):
        if not look.judged or champion not in (None, look.champion):
            continue
        if last is None or abs(last - look.created) >= timedelta(hours=policy.apart_hours):
            windows, last = windows - 1, look.created
        if windows < 0:
            break
        first = number
    return first


def _past(report: MonitorReport, look: Look, completed: bool) -> Past:
    performance = report.measurements.performance
    return Past(
        created=look.created,
        champion=look.champion,
        judged=look.judged,
        completed=completed,
        one_caller=performance.one_caller if performance else None,
        decision=LoopDecision.model_validate(report.decision.model_dump()),
        misdated=look.misdated,
    )
