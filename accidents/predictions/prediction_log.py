"""Every prediction that was answered, and what became of the accidents.

    log = PredictionLog("sqlite:///.serving/predictions.db")
    log.create()
    log.write([Prediction(...)])
    log.add_labels([Label(accident_id="2026-000123", severe=True)])
    for row in log.read(last=10_000): ...

All times are aware and in UTC. Tables: accidents/predictions/database_tables.py; what survives a crash:
accidents/predictions/database.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select

from accidents.predictions.database import PredictionDatabase
from accidents.predictions.database_tables import (
    LABELS,
    PREDICTIONS,
    SHADOW_SCORES,
    PredictionLogError,
    check_aware,
    check_text,
    unfit,
)
from accidents.predictions.drawing import Drawing, batched, dicts, draw, drawn_rows
from accidents.predictions.insert_statements import insert_into
from accidents.predictions.labels import Label, NewestLabels, add_labels, targets_of
from accidents.predictions.retention import (
    Ages,
    Limits,
    as_of,
    count_old,
    forget,
    forget_part,
    limits_of,
    old_parts,
    oldest,
    tables_by_row,
)
from accidents.predictions.shadow import ShadowScore, shadow_scores, to_shadow_row
from accidents.rollout.traffic_split import CHAMPION

__all__ = ["Label", "Prediction", "PredictionLog", "PredictionLogError", "Row", "to_row"]

Row = dict[str, Any]  # a row of the table `predictions`, its mappings as JSON text
REQUEST_ID = re.compile(r"[0-9a-f]{32}")
PAGED = {"yield_per": 1000}  # rows fetched, and labels looked up, at a time
LABELS_AT_ONCE = 250  # in one transaction: predictions are written in between
TEXTS = ("accident_id", "stage", "model_name", "model_version", "model_digest", "band", "key_name", "session",
         "role")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answered prediction.

    request_id: uuid4 as 32 hexadecimal digits; created: aware; probability: 0 to 1; accident: as given to
    `build_one`; features: as `build_one` returns them, where NaN and None are not known; key_name: whose key;
    session: of the predictions that a caller made in one, the last counts, and the others are its drafts;
    role: of the version that answered.
    """

    request_id: str
    accident_id: str | None
    created: datetime
    stage: str
    model_name: str
    model_version: str
    model_digest: str
    probability: float
    band: str
    alert: bool
    accident: Mapping[str, Any]
    features: Mapping[str, float | None]
    key_name: str | None = None
    session: str | None = None
    role: str = CHAMPION


class PredictionLog:
    """Predictions and their labels in SQLite or PostgreSQL. Safe to share among threads.

    Every method raises PredictionLogError when the database is gone, full, locked, or of another version.
    """

    def __init__(self, at: str | PredictionDatabase) -> None:
        """Open nothing yet. `at`: the database of a store, or its address.

        That is sqlite:///FILE, relative to the project's folder, or postgresql://...
        """
        self._database = PredictionDatabase(at) if isinstance(at, str) else at
        self.place = self._database.place

    def create(self) -> None:
        """Make the log where there is none yet; what is there stays."""
        self._database.create()

    def check(self) -> None:
        """Raise PredictionLogError unless the log is there, answers, and is of our version."""
        self._database.check()

    def try_write(self) -> None:
        """Raise PredictionLogError unless a prediction can be written: commits one that nobody sees."""
        row = to_row(_TRIAL)

        def work(connection: Connection) -> None:
            connection.execute(insert_into(PREDICTIONS), [row])
            connection.execute(PREDICTIONS.delete().where(PREDICTIONS.c.request_id == row["request_id"]))

        self._database.run(work, write=True)

    def write(self, records: Sequence[Prediction]) -> None:
        """Commit all of them or none. A request_id that is there already is left as it is."""
        self.write_rows([to_row(record) for record in records])

    def write_rows(self, rows: Sequence[Row], shadow_rows: Sequence[Row] = ()) -> None:
        """As `write`, of rows made by `to_row`, and beside them some made by `to_shadow_row`.

        In SQLite all are in one transaction; in PostgreSQL those of each table are in one of their own.
        """
        parts = ((PREDICTIONS, rows), (SHADOW_SCORES, shadow_rows))
        if given := [(table, of_table) for table, of_table in parts if of_table]:
            self._database.insert(*given)

    def write_shadow(self, scores: Sequence[ShadowScore]) -> None:
        """Commit all of them or none; of a request that this shadow has scored before, the first stays."""
        self.write_rows([], [to_shadow_row(score) for score in scores])

    @property
    def has_one_writer(self) -> bool:
        """Whether those who write wait for each other: SQLite."""
        return self._database.file is not None

    def add_labels(self, labels: Sequence[Label]) -> list[str]:
        """Commit labels, a few hundred at a time, and say of each what it was. Done again, it does no more.

        Returns
        -------
        for each label: "recorded" (the first, or the same by who may correct), "unchanged" (nothing new, not
        stored again), "corrected" (another was there; its row stays, the new one counts), "refused" (another
        caller said otherwise, or it was changed too often) or "unknown" (no such prediction); the last two
        are not stored.
        """
        parts = [labels[start : start + LABELS_AT_ONCE] for start in range(0, len(labels), LABELS_AT_ONCE)]
        return [status for part in parts for status in self._add_part(part)]

    def _add_part(self, labels: Sequence[Label]) -> list[str]:
        targets = self._database.run(lambda connection: targets_of(connection, labels), write=False)
        return self._database.run(lambda connection: add_labels(connection, labels, targets), write=True)

    def aged_as_of(self, now: datetime) -> datetime:
        """Return as of when predictions are to be aged: not by a clock that the log itself speaks against."""
        return self._database.run(lambda connection: as_of(connection, now), write=False)

    def count_old(self, ages: Ages, now: datetime | None = None) -> int:
        """How many predictions are older than `ages` allows; `now`: None is that of this machine's clock."""
        limits = self._limits(ages, now)
        return self._database.run(lambda connection: count_old(connection, limits), write=False)

    def count_held_back(self, ages: Ages, as_of: datetime, now: datetime) -> int:
        """How many predictions are too old as of `now`, and not as of an earlier moment."""
        earlier, later = self._limits(ages, as_of), self._limits(ages, now)
        if earlier == later:  # of months, nearly always
            return 0
        return self._database.run(
            lambda connection: count_old(connection, later) - count_old(connection, earlier), write=False
        )

    def forget(self, ages: Ages, now: datetime | None = None, again: bool = False) -> Iterator[int]:
        """Remove them and their labels, some at a time; yield how many were removed with each transaction.

        That may be 0: who has no more time, or no right any more, ends it there, too. In PostgreSQL whole
        months, which go once all of a month is that old; what is not in months, as above. `again`: also
        months that have been looked through of late: an API whose clock is behind may have written into them.
        """
        limits, tables = self._limits(ages, now), [PREDICTIONS.name]
        if self._database.by_month:
            parts = self._database.run(lambda connection: old_parts(connection, limits), write=False)
            for part in parts:
                yield self._database.change(partial(forget_part, part=part, limits=limits, again=again))
            tables = self._database.run(lambda connection: tables_by_row(connection, limits), write=False)
        for table in tables:
            yield from self._forget_rows(limits, table)

    def _forget_rows(self, limits: Limits, table: str) -> Iterator[int]:
        last = None
        while expired := self._database.run(
            partial(oldest, limits=limits, after=last, table=table), write=False
        ):
            yield self._database.run(partial(forget, limits=limits, expired=expired), write=True)
            last = expired[-1]

    def _limits(self, ages: Ages, now: datetime | None) -> Limits:
        return limits_of(ages, now or datetime.now(UTC), self._database.by_month)

    def count(self) -> int:
        """How many predictions there are; drafts do not count."""
        session = select(PREDICTIONS.c.key_name, PREDICTIONS.c.session).where(
            PREDICTIONS.c.session.is_not(None)
        )
        every, drafted, sessions = (
            select(func.count()).select_from(of).scalar_subquery()
            for of in (PREDICTIONS, session.subquery(), session.distinct().subquery())
        )
        query = select(every - drafted + sessions)
        return int(self._database.run(lambda connection: connection.execute(query).scalar_one(), write=False))

    def count_from(self, moment: datetime, stage: str) -> int:
        """How many predictions of a stage were created at a moment or later, each draft one."""
        own = PREDICTIONS.c.created >= moment, PREDICTIONS.c.stage == stage
        query = select(func.count()).select_from(PREDICTIONS).where(*own)
        return int(self._database.run(lambda connection: connection.execute(query).scalar_one(), write=False))

    def last_of_sessions(self, requests: Sequence[str]) -> set[str]:
        """Return those of the requests after which none came in the same session of the same caller."""
        query = select(PREDICTIONS.c.request_id).where(PREDICTIONS.c.request_id.in_(requests), _is_no_draft())
        return self._database.run(lambda connection: set(connection.scalars(query)), write=False)

    def read(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        last: int | None = None,
        shadow: str | None = None,
        digest: str | None = None,
        stage: str | None = None,
    ) -> Iterator[Mapping[str, Any]]:
        """Predictions in the order of time, streamed from one snapshot, without drafts.

        Parameters
        ----------
        since, until : aware; created at or after `since` and before `until`.
        last : only the newest so many of these.
        shadow : digest of one whose scores are wanted too.
        digest : only what the model with this digest answered.
        stage : only what was asked of this stage.

        Yields
        ------
        the fields of `Prediction`, and of its label `severe`, `labelled` (when it came), `labelled_by` and
        `label_trusted`; all None: no label yet. With `shadow`, what that gave, None where it gave nothing.
        """
        for name, moment in (("since", since), ("until", until)):
            if moment is not None:
                check_aware(name, moment)
        query = _query(since, until, last, digest, stage)
        with (
            self._database.reading() as connection,
            connection.execute(query, execution_options=PAGED) as rows,
        ):
            for page in batched(dicts(rows), PAGED["yield_per"]):
                # A page's labels at a time: as a join, PostgreSQL plans it for hours.
                labels = NewestLabels(connection, page)
                scores = shadow_scores(connection, page, shadow) if shadow else {}
                for row in page:
                    more = {"shadow": scores.get(row["request_id"])} if shadow else {}
                    yield _from_row(row) | labels.of(row) | more

    def draw(
        self, since: datetime | None, last: int | None, most: int, stage: str | None = None,
        until: datetime | None = None, per_caller: float | None = None, enough: int = 1,
    ) -> Drawing:  # fmt: skip
        """Say what is drawn of a stage's predictions since a moment, or of its last so many: `most`, or all.

        Without a stage, of those of all stages.

        Parameters
        ----------
        until : only of those created before it.
        per_caller : the share that one caller may be of what is drawn; None: any. Of few an equal one.
        enough : who has fewer predictions is no caller of its own in this.
        """
        return self._database.run(
            lambda connection: draw(connection, since, last, most, stage, until, per_caller, enough),
            write=False,
        )

    def read_drawn(self, drawing: Drawing) -> Iterator[Mapping[str, Any]]:
        """Predictions of the accidents drawn, those of each together in the order of time, without drafts.

        Yields
        ------
        what `read` does, and `drawn`: False for those that are read for their outcome alone.
        """
        with self._database.reading() as connection:
            rows = drawn_rows(
                connection,
                drawing,
                _is_no_draft(),
                lambda query: dicts(connection.execute(query, execution_options=PAGED)),
            )
            for page in batched(rows, PAGED["yield_per"]):
                labels = NewestLabels(connection, [row for row, _ in page])
                for row, drawn in page:
                    yield _from_row(row) | labels.of(row) | {"drawn": drawn}

    def labels(self) -> Iterator[tuple[str, str | None, bool]]:
        """All that was ever said of accidents with an id, in that order: the id, by whom, and severe."""
        given = select(LABELS.c.accident_id, LABELS.c.key_name, LABELS.c.severe)
        query = given.where(LABELS.c.accident_id.is_not(None)).order_by(LABELS.c.id)
        with (
            self._database.reading() as connection,
            connection.execute(query, execution_options=PAGED) as rows,
        ):
            for row in rows:
                yield row.accident_id, row.key_name, row.severe

    def close(self) -> None:
        """Give back all connections; a later call opens new ones."""
        self._database.close()


_TRIAL = Prediction(  # as large as a usual one
    request_id="0" * 32,
    accident_id="trial",
    created=datetime(2000, 1, 1, tzinfo=UTC),
    stage="",
    model_name="",
    model_version="",
    model_digest="",
    probability=0.0,
    band="",
    alert=False,
    accident={"filler": "x" * 1_500},
    features={},
)


def to_row(prediction: Prediction) -> Row:
    """Return the row of a prediction, checked, so that the database has no reason of its own to refuse it.

    Raises
    ------
    PredictionLogError : a field is not what `Prediction` says; names the field.
    """
    if not REQUEST_ID.fullmatch(prediction.request_id):
        raise unfit("request_id", prediction.request_id, "32 hexadecimal digits, as uuid4().hex gives")
    if not 0 <= prediction.probability <= 1:
        raise unfit("probability", prediction.probability, "0 to 1")
    if any(value is not None and math.isinf(value) for value in prediction.features.values()):
        raise unfit("features", "an infinity", "finite numbers, or None")
    check_aware("created", prediction.created)
    for name in TEXTS:
        check_text(name, getattr(prediction, name))
    return {
        "request_id": prediction.request_id,
        "accident_id": prediction.accident_id,
        "created": prediction.created,
        "stage": prediction.stage,
        "model_name": prediction.model_name,
        "model_version": prediction.model_version,
        "model_digest": prediction.model_digest,
        "probability": float(prediction.probability),
        "band": prediction.band,
        "alert": bool(prediction.alert),
        "accident": _json("accident", prediction.accident),
        "features": _json("features", prediction.features),
        "key_name": prediction.key_name,
        "session": prediction.session,
        "role": prediction.role,
    }


def _from_row(row: Row) -> dict[str, Any]:
    return row | {"accident": orjson.loads(row["accident"]), "features": orjson.loads(row["features"])}


def _json(name: str, value: Mapping[str, Any]) -> str:
    """JSON text; the shortest that gives back each double, so float32 too. NaN becomes null."""
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise unfit(name, str(error), "what JSON can say") from None


def _query(
    since: datetime | None, until: datetime | None, last: int | None, digest: str | None, stage: str | None
) -> Select[Any]:
    time = (PREDICTIONS.c.created, PREDICTIONS.c.request_id)
    chosen = select(PREDICTIONS).where(_is_no_draft())
    if since is not None:
        chosen = chosen.where(PREDICTIONS.c.created >= since)
    if until is not None:
        chosen = chosen.where(PREDICTIONS.c.created < until)
    if digest is not None:
        chosen = chosen.where(PREDICTIONS.c.model_digest == digest)
    if stage is not None:
        chosen = chosen.where(PREDICTIONS.c.stage == stage)
    if last is None:
        return chosen.order_by(*time)
    newest = chosen.order_by(*(column.desc() for column in time)).limit(max(last, 0)).subquery()
    return select(newest).order_by(newest.c.created, newest.c.request_id)


def _is_no_draft() -> ColumnElement[bool]:
    """Whether nothing came after it in the same session of the same caller."""
    this, later = PREDICTIONS.c, PREDICTIONS.alias("later")
    after = or_(
        later.c.created > this.created,
        and_(later.c.created == this.created, later.c.request_id > this.request_id),
    )
    same = and_(later.c.session == this.session, later.c.key_name.is_not_distinct_from(this.key_name))
    return or_(this.session.is_(None), ~exists().where(same, after))
