"""The tables of the prediction log, and what they can hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Boolean, Column, Dialect, Double, Index, Integer, MetaData, Table, Text
from sqlalchemy.types import DateTime, TypeDecorator

from accidents.errors import AccidentsError

VERSION = 1  # of the tables below; a change of theirs raises it


class PredictionLogError(AccidentsError):
    """The prediction log cannot be opened, read or written, or was given what it cannot hold."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: goes in aware, comes out aware in UTC, whatever the database keeps of time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
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
    Column("key_name", Text),
)
Index("predictions_created", PREDICTIONS.c.created, PREDICTIONS.c.request_id)
Index(
    "predictions_accident",
    PREDICTIONS.c.accident_id,
    sqlite_where=PREDICTIONS.c.accident_id.is_not(None),
    postgresql_where=PREDICTIONS.c.accident_id.is_not(None),
)

# Nothing is ever changed or deleted here: of all labels of a prediction the one with the highest id counts.
LABELS = Table(
    "labels",
    TABLES,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("request_id", Text),  # null: a label of the whole accident, for all of its predictions
    Column("accident_id", Text),  # that of the prediction, also where the label came by request_id
    Column("severe", Boolean, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("key_name", Text),
)
Index("labels_request", LABELS.c.request_id)
Index("labels_accident", LABELS.c.accident_id)


@dataclass(frozen=True)
class Schema:
    """Tables that belong together, in a database that may hold others too.

    `versions` is a table of one row, the version; `mended`: tables that are gone are made anew, empty.
    """

    what: str
    tables: MetaData
    versions: Table
    version: int
    made_by: str
    mended: bool = False


PREDICTION_LOG = Schema("prediction log", TABLES, VERSIONS, VERSION, "start the API once")


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
