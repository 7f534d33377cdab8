"""The tables of the prediction store, and what they can hold. How to change them: CONTRIBUTING.md."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    any_,
    false,
    literal,
    text,
    true,
)
from sqlalchemy.types import DateTime, TypeDecorator

from accidents.errors import AccidentsError
from accidents.rollout.traffic_split import CHAMPION

# Of the tables below, as the newest file in predictions/migrations/versions makes them.
REVISION = "0007"


class PredictionLogError(AccidentsError):
    """The prediction log cannot be opened, read or written, or was given what it cannot hold.

    remedy: the end of the message, which may be told to everybody: it names no place. "" where there is none.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}" if remedy else message)
        self.remedy = remedy


class NoDatabaseError(PredictionLogError):
    """There is none at the address: no file, or none of the tables."""


class OutdatedError(PredictionLogError):
    """Its tables are of an earlier version of this program."""


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

# In PostgreSQL this and SHADOW_SCORES are partitioned by the month of `created`, which is part of the key
# there: accidents/predictions/months.py. No request_id is there twice, for it is random.
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
    Column("role", Text, nullable=False, server_default=CHAMPION),  # of the version that answered
)
Index("predictions_created", PREDICTIONS.c.created, PREDICTIONS.c.request_id)
Index(
    "predictions_accident",
    PREDICTIONS.c.accident_id,
    sqlite_where=PREDICTIONS.c.accident_id.is_not(None),
    postgresql_where=PREDICTIONS.c.accident_id.is_not(None),
)
Index(
    "predictions_session",
    PREDICTIONS.c.session,
    sqlite_where=PREDICTIONS.c.session.is_not(None),
    postgresql_where=PREDICTIONS.c.session.is_not(None),
)

# What a shadow gave for the accident of a prediction: never answered, kept as long as the prediction.
SHADOW_SCORES = Table(
    "shadow_scores",
    TABLES,
    Column("request_id", Text, primary_key=True),
    Column("model_digest", Text, primary_key=True),
    Column("model_version", Text, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("probability", Double, nullable=False),
    Column("band", Text, nullable=False),
    Column("alert", Boolean, nullable=False),
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
Index("labels_newest_request", LABELS.c.request_id, LABELS.c.newest)
Index("labels_newest_accident", LABELS.c.accident_id, LABELS.c.newest)

# Nothing in these two is ever changed.
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
    Column("step", Text, nullable=False),  # of the loop; a `stage` is what is known of an accident
    Column("outcome", Text, nullable=False),  # started, or one of loop_table.OUTCOMES
    Column("model_version", Text),
    Column("detail", Text, nullable=False),  # a JSON object
)
# One row a name, for ever; it is held until it expires, by the clock of the database.
LEASES = Table(
    "leases",
    TABLES,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),  # a uuid: of one holding, not of a process
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("acquired", UtcDateTime, nullable=False),
    Column("expires", UtcDateTime, nullable=False),
)
# Keys of the API, where it keeps them here: serving/api/operations/keys_in_database.py. A row stays when its
# key is revoked: once there was a key, everybody is asked for one.
API_KEYS = Table(
    "api_keys",
    TABLES,
    Column("hook", Boolean, primary_key=True),  # starts the loop, and opens nothing else
    Column("name", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("scopes", Text, nullable=False),  # a JSON list
    Column("revoked", UtcDateTime),
)
# What callers have used up in a minute, as far as APIs have taken it for them; of the last two minutes.
RATE_COUNTS = Table(
    "rate_counts",
    TABLES,
    Column("name", Text, primary_key=True),
    Column(
        "minute", BigInteger, primary_key=True, autoincrement=False
    ),  # since 1970, by the database's clock
    Column("spent", BigInteger, nullable=False),
)


def among(connection: Connection, column: Column[str], texts: Collection[str]) -> ColumnElement[bool]:
    """Whether a column holds one of these, of which there may be thousands."""
    if connection.dialect.name == "postgresql":  # as one parameter: each of its own is written, cast and read
        return column == any_(literal(list(texts), ARRAY(Text)))
    return column.in_(texts)


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
    """Return the error that says what `name` must be."""
    return PredictionLogError(f"The prediction log cannot hold {name} {value!s:.100}: it must be {right}.")
