"""Databases as earlier versions of this program made them, with rows in every table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text

from accidents.predictions.prediction_log import to_row
from tests.predictions import START, connected, prediction

LOG_1 = """
CREATE TABLE prediction_log_version (version INTEGER PRIMARY KEY);
CREATE TABLE predictions (request_id TEXT PRIMARY KEY NOT NULL, accident_id TEXT,
 created {moment} NOT NULL, stage TEXT NOT NULL, model_name TEXT NOT NULL, model_version TEXT NOT NULL,
 model_digest TEXT NOT NULL,
 probability {double} NOT NULL, band TEXT NOT NULL, alert BOOLEAN NOT NULL, accident TEXT NOT NULL,
 features TEXT NOT NULL, key_name TEXT);
CREATE INDEX predictions_created ON predictions (created, request_id);
CREATE INDEX predictions_accident ON predictions (accident_id) WHERE accident_id IS NOT NULL;
CREATE TABLE labels (id {serial}, request_id TEXT, accident_id TEXT, severe BOOLEAN NOT NULL,
 created {moment} NOT NULL, key_name TEXT);
CREATE INDEX labels_request ON labels (request_id);
CREATE INDEX labels_accident ON labels (accident_id);
INSERT INTO prediction_log_version VALUES (1);
"""
LOG_2 = """
ALTER TABLE predictions ADD COLUMN session TEXT;
CREATE INDEX predictions_session ON predictions (session) WHERE session IS NOT NULL;
ALTER TABLE labels ADD COLUMN caller TEXT;
ALTER TABLE labels ADD COLUMN trusted BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE labels ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE labels ADD COLUMN newest BOOLEAN NOT NULL DEFAULT true;
DROP INDEX labels_request;
DROP INDEX labels_accident;
CREATE INDEX labels_newest_request ON labels (request_id, newest);
CREATE INDEX labels_newest_accident ON labels (accident_id, newest);
UPDATE labels SET newest = false WHERE id = 2;
UPDATE labels SET caller = 'lyon' WHERE accident_id = 'A';
UPDATE prediction_log_version SET version = 2;
"""
HISTORY_1 = """
CREATE TABLE monitor_history_version (version INTEGER PRIMARY KEY);
CREATE TABLE monitor_runs (id {serial}, created {moment} NOT NULL, loop_id TEXT NOT NULL,
 stage TEXT NOT NULL, model_version TEXT NOT NULL, model_digest TEXT NOT NULL, source TEXT NOT NULL,
 rows INTEGER NOT NULL, labelled INTEGER NOT NULL, action TEXT NOT NULL, judged INTEGER NOT NULL,
 reasons TEXT NOT NULL, report TEXT NOT NULL);
CREATE TABLE loop_events (id {serial}, loop_id TEXT NOT NULL, created {moment} NOT NULL,
 model TEXT NOT NULL, stage TEXT NOT NULL, outcome TEXT NOT NULL, model_version TEXT, detail TEXT NOT NULL);
INSERT INTO monitor_history_version VALUES (1);
INSERT INTO loop_events (loop_id, created, model, stage, outcome, detail)
 VALUES ('a loop', '2026-11-22 18:30:00', 'accident-severity-dispatch', 'monitor', 'ok', '{{}}');
"""
OLD_STORES = {
    "log 1": ("log 1",),
    "log 1 and history": ("log 1", "history"),
    "log 2": ("log 1", "log 2"),
    "log 2 and history": ("log 1", "log 2", "history"),
    "history alone": ("history",),
}
_PARTS = {"log 1": LOG_1, "log 2": LOG_2, "history": HISTORY_1}
_CALLERS = [("A", "lyon"), ("A", "lille"), ("B", "lille"), (None, None)]
_LABELS = [  # as version 1 wrote them: of a request, of an accident, twice of the same
    (f"{0:032x}", "A", True), (None, "A", False), (None, "A", True), (f"{3:032x}", None, True),
]  # fmt: skip


def make_old(address: str, kind: str) -> None:
    """A store of an earlier version: lyon and then lille asked for A, lille for B, and one has no id."""
    postgres = address.startswith("postgresql")
    if not postgres:
        Path(address.removeprefix("sqlite:///")).parent.mkdir(exist_ok=True)
    words = {
        "moment": "TIMESTAMP WITH TIME ZONE" if postgres else "DATETIME",
        "double": "DOUBLE PRECISION" if postgres else "DOUBLE",
        "serial": "SERIAL PRIMARY KEY" if postgres else "INTEGER PRIMARY KEY NOT NULL",
    }
    with connected(address) as connection:
        for part in OLD_STORES[kind]:
            for statement in filter(str.strip, _PARTS[part].format(**words).split(";")):
                connection.execute(text(statement))
            if part == "log 1":
                for table, row in _old_rows():
                    names = ", ".join(row)
                    values = ", ".join(f":{name}" for name in row)
                    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)
        connection.commit()


def _old_rows() -> Iterator[tuple[str, dict[str, object]]]:
    for number, (accident_id, caller) in enumerate(_CALLERS):
        one = prediction(number, request_id=f"{number:032x}", accident_id=accident_id, key_name=caller)
        old = {name: value for name, value in to_row(one).items() if name in _COLUMNS}
        yield "predictions", old | {"created": str(old["created"])}
    for request_id, accident_id, severe in _LABELS:
        label = {"request_id": request_id, "accident_id": accident_id, "severe": severe}
        yield "labels", label | {"created": str(START)}


_COLUMNS = (
    "request_id", "accident_id", "created", "stage", "model_name", "model_version", "model_digest",
    "probability", "band", "alert", "accident", "features", "key_name",
)  # fmt: skip
