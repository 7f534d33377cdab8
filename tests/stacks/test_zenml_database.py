"""What is read from ZenML's SQLite file is what ZenML says; what is not understood is left to ZenML."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stacks.environment import store_url
from stacks.zenml_database import has_secret, last_metadata, production_versions, serving_flavors

FILE = Path("local_stores") / "default_zen_store" / "zenml.db"


@pytest.fixture(scope="module")
def promoted(zenml_store: Path) -> Path:
    """A store in which the second of three versions is in production; returns its file."""
    from zenml.client import Client
    from zenml.enums import ModelStages

    client = Client()
    client.create_model("chosen")
    client.create_model("undecided")
    client.create_model_version("undecided")
    first, second, _ = (client.create_model_version("chosen") for _ in range(3))
    for version in (first, second):  # ZenML archives the one before
        version.set_stage(ModelStages.PRODUCTION, force=True)
    return zenml_store / FILE


@pytest.fixture
def store(promoted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which the environment points to."""
    copy = tmp_path / FILE
    copy.parent.mkdir(parents=True)
    shutil.copyfile(promoted, copy)
    monkeypatch.setenv("ZENML_CONFIG_PATH", str(tmp_path))
    monkeypatch.delenv("ZENML_STORE_URL", raising=False)
    return copy


def execute(store: Path, statement: str) -> None:
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(statement)


def test_it_is_what_zenml_says(promoted: Path) -> None:
    from zenml.client import Client
    from zenml.enums import ModelStages

    asked = Client().get_model_version("chosen", ModelStages.PRODUCTION).number
    assert store_url() == f"sqlite:///{promoted}"
    assert production_versions() == {"chosen": asked} == {"chosen": 2}


def test_a_secret_is_known_by_its_whole_name(promoted: Path) -> None:
    from zenml.client import Client

    Client().create_secret("accidents", {"database_url": "sqlite:///log.db"})
    assert [has_secret(name) for name in ("accidents", "accident")] == [True, False]
    Client().delete_secret("accidents")
    assert not has_secret("accidents")


def test_it_is_read_anew_each_time(store: Path) -> None:
    assert production_versions() == {"chosen": 2}
    execute(store, "UPDATE model_version SET stage = 'archived'")
    assert production_versions() == {}


def test_the_flavors_of_what_should_serve(store: Path, promoted: Path) -> None:
    assert serving_flavors() == set()
    named = "id, created, updated, name, project_id, service_type, type, flavor, config, admin_state"
    for name, flavor, state in (("a", "mlserver", "active"), ("b", "bentoml", "inactive")):
        execute(
            store,
            f"INSERT INTO service ({named}) SELECT '{name}', created, updated, '{name}', id, '', '', "
            f"'{flavor}', '', '{state}' FROM project",
        )
    assert serving_flavors() == {"mlserver"}


def test_what_was_logged_last(store: Path) -> None:
    assert last_metadata("batch") == []
    named = "id, created, updated, project_id, key, value, type"
    for name, at in (("new", "2026-11-26 10:00:00.5"), ("old", "2026-11-25 23:00:00")):
        execute(
            store,
            f"INSERT INTO run_metadata ({named}) "
            f"SELECT '{name}', '{at}', '{at}', id, 'batch', '{{\"input\": \"{name}\"}}', 'dict' FROM project",
        )
    assert last_metadata("batch") == [({"input": "new"}, datetime(2026, 11, 26, 10, 0, 0, 500_000, UTC))]
    assert last_metadata("other") == []


def test_before_the_first_run_there_is_none_and_no_store_is_made(store: Path) -> None:
    store.unlink()
    assert production_versions() == {}
    assert serving_flavors() == set()
    assert not store.exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alembic_version SET version_num = '0.99.0'",
        "ALTER TABLE model_version RENAME COLUMN number TO revision",
        "DROP TABLE alembic_version",
        "INSERT INTO project SELECT 'b', created, updated, 'b', display_name, description, '' FROM project",
    ],
    ids=["another version", "another column", "no version", "two projects"],
)
def test_what_is_not_understood_is_left_to_zenml(store: Path, statement: str) -> None:
    execute(store, statement)
    assert production_versions() is None


def test_a_file_that_is_no_database_is_left_to_zenml(store: Path) -> None:
    store.write_bytes(b"no database" * 1_000)
    assert production_versions() is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "mysql://db.example/zenml"])
def test_a_store_elsewhere_is_left_to_zenml(store: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ZENML_STORE_URL", url)
    assert production_versions() is None


def test_so_is_one_in_its_configuration(store: Path) -> None:
    config = store.parents[2] / "config.yaml"
    config.write_text("store: {type: rest, url: 'http://127.0.0.1:9'}\n", encoding="utf-8")
    assert production_versions() is None
