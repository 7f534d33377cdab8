"""What monitoring ten million predictions in PostgreSQL costs."""

from __future__ import annotations

import tempfile
import time
from typing import Any

from sqlalchemy import create_engine, text

from benchmarks.database_server import database_server
from benchmarks.options import Options
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.separate_process import measure

TITLE = "Monitoring ten million predictions"
MOST_SECONDS, MOST_GIB = 90.0, 1.0
_TEMPLATES = 20_000  # predictions that the others are copies of, with ids and times of their own
_COLUMNS = ("stage, model_name, model_version, model_digest, probability, band, alert, accident, features, "
            "key_name, session, role")  # fmt: skip


def run(options: Options) -> Outcome:
    """Fill a log of 29 days in the server, then monitor it in a fresh process."""
    copies = 6 if options.quick else 500
    with tempfile.TemporaryDirectory(prefix="monitor-") as folder, database_server() as server:
        measure(
            "benchmarks.monitor_scale:fill", folder=folder, predictions=_TEMPLATES, address=server.address
        )
        filled = multiply(server.address, copies)
        call = measure("benchmarks.monitor_scale:monitor", folder=folder, address=server.address)
    result = call.result
    seconds = sum(result["seconds"].values())
    predictions = _TEMPLATES * copies
    figures = (
        Figure(what=f"{predictions:,} logged predictions, half of them labelled, monitored",
               target=f"at most {MOST_SECONDS:g} s", figure=f"{seconds:.1f} s", met=seconds <= MOST_SECONDS),
        Figure(what="Peak memory of the process", target=f"at most {MOST_GIB:g} GiB",
               figure=f"{call.peak_gib:.2f} GiB", met=call.peak_gib <= MOST_GIB),
    )  # fmt: skip
    about = (
        "As in 'Monitoring a hundred thousand predictions', on a log in PostgreSQL on the same machine, "
        f"{filled['gigabytes']:.1f} GB with indexes: {_TEMPLATES:,} predictions of a sample year, copied "
        "over 29 days. "
        f"{' '.join(result['notes'])} {result['labelled']:,} of those read have an outcome."
    )
    rows = [(what, f"{spent:.1f}") for what, spent in result["seconds"].items()]
    rows += [(f"(before: filling it, {what})", f"{spent:.0f}") for what, spent in filled["seconds"].items()]
    return Outcome(about=about, figures=figures, body=table(("part", "seconds"), rows))


def multiply(address: str, copies: int) -> dict[str, Any]:
    """Copy what is in the log so many times, each with ids and a time of its own; vacuumed, as it will be."""
    engine = create_engine(
        address.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    # By ten copies a time: as one INSERT it would hold all in one transaction.
    statements = {"predictions": _predictions, "labels": _labels}
    seconds = dict.fromkeys((*statements, "vacuum"), 0.0)
    with engine.connect() as connection:
        before = connection.scalar(text("SELECT max(created) FROM predictions"))
        connection.execute(text("CREATE TABLE templates AS SELECT * FROM predictions"))
        for first in range(1, copies + 1, 10):
            last = min(first + 9, copies)
            for what, statement in statements.items():
                began = time.perf_counter()
                connection.execute(text(statement(first, last, copies)), {"before": before})
                seconds[what] += time.perf_counter() - began
        began = time.perf_counter()
        connection.execute(text("DELETE FROM labels WHERE accident_id LIKE 'a%'"))
        connection.execute(text("DELETE FROM predictions WHERE accident_id LIKE 'a%'"))
        connection.execute(text("DROP TABLE templates"))
        connection.execute(text("VACUUM ANALYZE"))
        seconds["vacuum"] = time.perf_counter() - began
        size = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relispartition AND relkind = 'r'"
        gigabytes = float(connection.scalar(text(size)) or 0) / 1e9
    engine.dispose()
    return {"seconds": seconds, "gigabytes": gigabytes}


def _predictions(first: int, last: int, copies: int) -> str:
    return (
        f"INSERT INTO predictions (request_id, accident_id, created, {_COLUMNS}) "
        "SELECT replace(gen_random_uuid()::text, '-', ''), 'c' || copy || accident_id, "
        f"created - copy * interval '29 days' / {copies + 1}, {_COLUMNS} "
        f"FROM templates, generate_series({first}, {last}) AS copy WHERE :before IS NOT NULL"
    )


def _labels(first: int, last: int, copies: int) -> str:
    return (
        "INSERT INTO labels (accident_id, severe, created, key_name, caller, newest) "
        "SELECT 'c' || copy || accident_id, severe, created, key_name, caller, newest "
        f"FROM labels, generate_series({first}, {last}) AS copy "
        "WHERE created >= :before AND accident_id LIKE 'a%'"
    )
