"""The tables' versions: every earlier one comes up to date with its rows, whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from accidents.predictions.database_tables import REVISION, TABLES
from accidents.predictions.history import History
from accidents.predictions.prediction_log import Label, PredictionLog, PredictionLogError
from accidents.predictions.schema_migration import VERSION_TABLE
from tests.accidents.predictions.old_stores import OLD_STORES, make_old
from tests.conftest import ROOT
from tests.predictions import connected, prediction

pytest_plugins = ("tests.log_fixtures",)  # the fixtures `address`, `log`, `postgres`
MODEL = "accident-severity-dispatch"


def parts_in(connection: Connection) -> set[str]:
    """The tables that are partitions of others."""
    if connection.dialect.name == "sqlite":
        return set()
    return set(connection.scalars(text("SELECT relname FROM pg_class WHERE relispartition")))


def tables_of(address: str) -> dict[str, Any]:
    """Columns, keys and indexes of all tables but partitions, without the order of columns."""
    with connected(address) as connection:
        inspector, parts = inspect(connection), parts_in(connection)
        return {
            table: (
                sorted(
                    (one["name"], str(one["type"]), one["nullable"]) for one in inspector.get_columns(table)
                ),
                inspector.get_pk_constraint(table)["constrained_columns"],
                sorted(
                    (str(one["name"]), one["column_names"], len(one.get("dialect_options", {})))
                    for one in inspector.get_indexes(table)
                ),
            )
            for table in inspector.get_table_names()
            if table not in parts
        }


def test_there_is_one_newest_revision_and_the_program_knows_it() -> None:
    config = Config()
    config.set_main_option("script_location", "accidents.predictions:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_the_migrations_make_the_tables_that_the_program_declares(address: str, log: PredictionLog) -> None:
    with connected(address) as connection:
        parts = parts_in(connection)
        options = {
            "version_table": VERSION_TABLE,
            "compare_type": True,
            "include_name": lambda name, kind, _: kind != "table" or name not in parts,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, TABLES) == []


def test_a_stage_is_what_is_known_of_an_accident_in_every_table() -> None:
    assert {name for name, table in TABLES.tables.items() if "stage" in table.c} == {
        "predictions", "monitor_runs"
    }  # fmt: skip


@pytest.mark.parametrize("kind", OLD_STORES)
def test_an_earlier_version_comes_up_to_date_with_its_rows(
    address: str, kind: str, request: pytest.FixtureRequest
) -> None:
    make_old(address, kind)
    with closing(PredictionLog(address)) as log:
        with pytest.raises(PredictionLogError, match=r"before 0\.6.*run\.py database upgrade"):
            log.count()
        log.create()
        log.create()
        if "log" in kind:
            rows = [(row["key_name"], row["severe"]) for row in log.read()]
            assert rows == [("lyon", True), ("lille", None), ("lille", None), (None, True)]
            assert log.add_labels([Label(False, accident_id="A", key_name="lille")]) == ["recorded"]
            assert log.add_labels([Label(False, accident_id="A", key_name="lyon")]) == ["refused"]
        log.write([prediction(9, session="s")])
        assert log.count() == (5 if "log" in kind else 1)
    with closing(History(address)) as history:
        assert len(history.events(MODEL)) == ("history" in kind)
        history.add_event("another", prediction().created, MODEL, "train", "ok")
    sqlite = address.startswith("sqlite")
    new = f"{address}.new" if sqlite else request.getfixturevalue("postgres").new_database()
    with closing(PredictionLog(new)) as fresh:
        fresh.create()
    assert tables_of(address) == tables_of(new)


STOPS_IN_THE_MIDDLE = """
import sys, time
from sqlalchemy import Engine, event
from accidents.predictions.prediction_log import PredictionLog

@event.listens_for(Engine, "before_cursor_execute")
def stop(connection, cursor, statement, *others):
    if statement.lstrip().startswith("CREATE TABLE leases"):
        print("in the middle", flush=True)
        time.sleep(60)

PredictionLog(sys.argv[1]).create()
"""


def test_killed_in_the_middle_it_leaves_the_old_version(address: str) -> None:
    make_old(address, "log 1 and history")
    before = tables_of(address)
    process = subprocess.Popen(
        [sys.executable, "-c", STOPS_IN_THE_MIDDLE, address], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in the middle\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert tables_of(address) == before
    with closing(PredictionLog(address)) as log:
        log.create()
        assert log.count() == 4


def test_two_processes_that_start_at_once_upgrade_once(address: str) -> None:
    make_old(address, "log 1 and history")
    words = [sys.executable, "-c", "from accidents.predictions.prediction_log import PredictionLog as Log; "
             "import sys; Log(sys.argv[1]).create()", address]  # fmt: skip
    both = [subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [(one.communicate()[1], one.returncode) for one in both] == [("", 0), ("", 0)]
    with closing(PredictionLog(address)) as log:
        assert log.count() == 4


def test_a_table_that_is_gone_is_named_and_not_made_anew(address: str, log: PredictionLog) -> None:
    log.close()
    with connected(address) as connection:
        connection.execute(text("DROP TABLE monitor_runs"))
        connection.commit()
    with pytest.raises(PredictionLogError, match=r"lost its table monitor_runs\. Restore it"):
        log.create()


def test_another_programs_table_of_that_name_stops_the_upgrade(address: str) -> None:
    make_old(address, "log 2")
    with connected(address) as connection:
        connection.execute(text("CREATE TABLE leases (flat TEXT)"))
        connection.commit()
    with (
        closing(PredictionLog(address)) as log,
        pytest.raises(PredictionLogError, match="table 'leases' that"),
    ):
        log.create()
