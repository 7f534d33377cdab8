"""The tables of the prediction log, and what they can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    false,
    text,
    true,
)
from sqlalchemy.types import DateTime, TypeDecorator

from accidents.errors import AccidentsError

VERSION = 2  # of the tables below; a change of theirs raises it, and needs an entry in UPGRADES


class PredictionLogError(AccidentsError):
    """The prediction log cannot be opened, read or written, or was given what it cannot hold."""


class NoDatabaseError(PredictionLogError):
    """There is none at the address: no file, or none of the tables."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: goes in aware, comes out aware in UTC, whatever the database keeps of time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Write a time in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Read a time in UTC; SQLite gives one without a zone."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


TABLES = MetaData()

VERSIONS = Table("prediction_log_version", TABLES, Column("version", Integer, primary_key=True))

PREDICTIONS = Table(
    "predictions",
    TABLES,
    Column("request_id", Text, primary_key=True),
    Column("accident_id", Text),
    Column("created", UtcDateTime, nullable=False),
    Column("stage", Text, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("model_digest", Text, nullable=False),
    Column("probability", Double, nullable=False),
    Column("band", Text, nullable=False),
    Column("alert", Boolean, nullable=False),
    Column("accident", Text, nullable=False),  # a JSON object, as given to build_one
    Column("features", Text, nullable=False),  # a JSON object: name to number, null is not known
    Column("key_name", Text),  # the caller, and with it whose the accident_id is
    Column(
        "session", Text
    ),  # of a caller's predictions with one session the last counts, the others are drafts
)
Index("predictions_created", PREDICTIONS.c.created, PREDICTIONS.c.request_id)
Index(
    "predictions_accident",
    PREDICTIONS.c.accident_id,
    sqlite_where=PREDICTIONS.c.accident_id.is_not(None),
    postgresql_where=PREDICTIONS.c.accident_id.is_not(None),
)
SESSIONS = Index(
    "predictions_session",
    PREDICTIONS.c.session,
    sqlite_where=PREDICTIONS.c.session.is_not(None),
    postgresql_where=PREDICTIONS.c.session.is_not(None),
)

# Nothing that was said is ever changed or deleted here. Of all labels of a prediction the one with the
# highest id counts; it is among the newest ones of the prediction and of its accident.
LABELS = Table(
    "labels",
    TABLES,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("request_id", Text),  # null: a label of the whole accident, for all of its predictions
    Column("accident_id", Text),  # that of the prediction, also where the label came by request_id
    Column("severe", Boolean, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("key_name", Text),  # who said so
    Column("caller", Text),  # whose accident it is: the key_name of its predictions
    Column("trusted", Boolean, nullable=False, server_default=false()),  # said with the right to correct
    Column("changes", Integer, nullable=False, server_default=text("0")),  # how often it was changed before
    Column(
        "newest", Boolean, nullable=False, server_default=true()
    ),  # of this prediction, or of this accident
)
# With `newest`, so that what is read does not grow with each correction.
NEWEST_LABELS = (
    Index("labels_newest_request", LABELS.c.request_id, LABELS.c.newest),
    Index("labels_newest_accident", LABELS.c.accident_id, LABELS.c.newest),
)


@dataclass(frozen=True)
class Schema:
    """Tables that belong together, in a database that may hold others too.

    `versions` is a table of one row, the version; `mended`: tables that are gone are made anew, empty;
    `upgrades`: what brings the tables of a version to the next one, in place.
    """

    what: str
    tables: MetaData
    versions: Table
    version: int
    made_by: str
    mended: bool = False
    upgrades: Mapping[int, Callable[[Connection], None]] = field(default_factory=dict)


def _add_sessions_and_callers(connection: Connection) -> None:
    """1 to 2. A label of a whole accident was for all callers' predictions; the first caller keeps it."""
    for addition in (
        "predictions ADD COLUMN session TEXT",
        "labels ADD COLUMN caller TEXT",
        "labels ADD COLUMN trusted BOOLEAN NOT NULL DEFAULT false",
        "labels ADD COLUMN changes INTEGER NOT NULL DEFAULT 0",
        "labels ADD COLUMN newest BOOLEAN NOT NULL DEFAULT true",
    ):
        connection.execute(text(f"ALTER TABLE {addition}"))
    connection.execute(
        text(
            "UPDATE labels SET caller = (SELECT key_name FROM predictions "
            "WHERE predictions.request_id = labels.request_id) WHERE request_id IS NOT NULL"
        )
    )
    connection.execute(
        text(
            "UPDATE labels SET caller = (SELECT key_name FROM predictions "
            "WHERE predictions.accident_id = labels.accident_id ORDER BY created, request_id LIMIT 1) "
            "WHERE request_id IS NULL"
        )
    )
    connection.execute(
        text(
            "UPDATE labels SET newest = false WHERE id NOT IN (SELECT max(id) FROM labels "
            "GROUP BY request_id, CASE WHEN request_id IS NULL THEN accident_id END)"
        )
    )
    for gone in ("labels_request", "labels_accident"):
        connection.execute(text(f"DROP INDEX {gone}"))
    for index in (SESSIONS, *NEWEST_LABELS):
        index.create(connection)


UPGRADES = {1: _add_sessions_and_callers}
PREDICTION_LOG = Schema("prediction log", TABLES, VERSIONS, VERSION, "start the API once", upgrades=UPGRADES)


def check_text(name: str, value: str | None) -> None:
    """Raise PredictionLogError for text that PostgreSQL cannot hold."""
    if value is None or (value.isprintable() and value.isascii()):
        return
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise unfit(name, ascii(value), "text without NUL and without halves of characters")


def check_aware(name: str, moment: datetime) -> None:
    """Raise PredictionLogError for a moment without a time zone."""
    if moment.tzinfo is None:
        raise unfit(name, moment.isoformat(), "a moment with its time zone, as datetime.now(UTC)")


def unfit(name: str, value: object, right: str) -> PredictionLogError:
    """The error that says what `name` must be."""
    return PredictionLogError(f"The prediction log cannot hold {name} {value!s:.100}: it must be {right}.")
