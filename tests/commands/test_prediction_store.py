"""Which command makes a prediction log, and where; and that projects which share one take turns."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from accidents.errors import BusyError
from accidents.predictions.database_tables import NoDatabaseError, PredictionLogError
from accidents.predictions.store import LOOP, VARIABLE, PredictionStore
from benchmarks.project_copy import copy_project
from commands import api, keys, prediction_store, project
from commands.background import Background
from commands.prediction_store import opened_store
from commands.project import api_settings
from serving.api.operations.keys_in_database import StoredKeys
from serving.api.settings import ApiSettings
from stacks import placeholders
from tests.postgres import PostgresServer
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]
pytest_plugins = ("tests.log_fixtures",)  # the fixture `postgres`
SECONDS = 5
HOLDS = """
import time
from accidents.predictions.store import LOOP
from commands.loop_settings import loop_settings
from commands.prediction_store import opened_store

with opened_store() as store, store.lease(LOOP, loop_settings().lease_seconds):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("usual", [False, True])
def test_a_missing_log_is_begun_where_it_usually_is_and_told_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], usual: bool
) -> None:
    """At a wrong address there would be no history, and so no cooldown."""
    file = tmp_path / "predictions.db"
    monkeypatch.setenv(VARIABLE, f"sqlite:///{file}")
    if usual:
        monkeypatch.setattr(prediction_store, "_default_address", lambda: f"sqlite:///{file}")
    for begin in (False, True, True):
        made = begin and usual
        refused = nullcontext() if made else pytest.raises(NoDatabaseError, match=r"run\.py database upgrade")
        with refused, opened_store(begin) as store:
            assert store.log.count() == 0
        assert file.exists() is made
    assert capsys.readouterr().out.count(f"A new prediction log was begun: {file}") == usual


def test_a_log_is_usually_where_configs_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert prediction_store._default_address() == api_settings().database_url


@pytest.mark.usefixtures("zenml_store")
def test_keys_are_made_where_the_api_looks_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run.py serve` has its address from ZenML's secret, which counts more than configs/api.yaml."""
    from zenml.client import Client

    in_settings, in_secret = (f"sqlite:///{tmp_path}/{name}.db" for name in ("settings", "secret"))
    stores = [PredictionStore(address) for address in (in_settings, in_secret)]
    for store in stores:
        store.create()
    Client().create_secret("accidents", {"database_url": in_secret})
    monkeypatch.setenv(VARIABLE, "")  # as it was before, afterwards
    monkeypatch.delenv(VARIABLE)
    for module in (keys, prediction_store):
        settings = ApiSettings(database_url=in_settings, keys_in="database")
        monkeypatch.setattr(module, "api_settings", lambda settings=settings: settings)
    keys.new("control-room", [])
    made = [StoredKeys(store.keys(hook=False), watched=False).names() for store in stores]
    assert made == [[], ["control-room"]]
    for store in stores:
        store.close()


def test_a_stack_logs_where_the_shell_zenmls_secret_or_its_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of `staging` that is the database that `make up` starts."""
    secret: list[str | None] = [None]
    monkeypatch.setattr("steps.support.prediction_store._address_in_secret", lambda: secret[0])
    monkeypatch.setattr("zenml.client.Client", ClientOfDocker)
    monkeypatch.setattr(placeholders, "project_root", lambda: tmp_path)
    for name in ("POSTGRES_PORT", "PREDICTIONS_DATABASE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)

    def used(stack: str | None, shell: str = "") -> str | None:
        monkeypatch.setenv(VARIABLE, shell)
        project.use_prediction_log(stack)
        return os.environ[VARIABLE]

    env_file = tmp_path / ".env"
    env_file.touch(0o600)
    env_file.write_text("PREDICTIONS_DATABASE_PASSWORD=of-make-up\nPOSTGRES_PORT=15433\n")
    assert used("staging") == "postgresql+psycopg://predictions:of-make-up@127.0.0.1:15433/predictions"
    assert used("docker") == used("local") == used(None) == ""
    env_file.write_text("ACCIDENTS_DATABASE_URL=sqlite:///of-env.db\n")
    assert used("staging") == used("docker") == used(None) == "sqlite:///of-env.db"
    assert used("local") == ""
    secret[0] = "sqlite:///of-secret.db"
    assert used("staging") == used("local") == secret[0]
    assert used("staging", "sqlite:///of-shell.db") == "sqlite:///of-shell.db"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stack `staging` may be used, and nothing here says where its prediction log is."""
    monkeypatch.setenv(VARIABLE, "")  # as it was before, afterwards
    monkeypatch.delenv(VARIABLE)
    monkeypatch.delenv("PREDICTIONS_DATABASE_PASSWORD", raising=False)
    monkeypatch.setattr("steps.support.prediction_store._address_in_secret", lambda: None)
    monkeypatch.setattr("stacks.apply.use_stack", lambda stack: [])
    monkeypatch.setattr(placeholders, "project_root", lambda: tmp_path)  # where no `.env` is


@pytest.mark.usefixtures("nowhere")
def test_only_who_opens_a_log_that_nobody_says_the_place_of_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a shared ZenML server whoever has its key may train, promote and deploy."""
    project.on_stack("staging")
    both = r"unless ACCIDENTS_DATABASE_URL says where .* zenml secret create accidents --database_url="
    with pytest.raises(PredictionLogError, match=both), opened_store():
        pass
    monkeypatch.setattr(api, "API", Background(tmp_path, "api"))
    monkeypatch.setattr(api, "_deployed", lambda *_: ("a-model", "http://127.0.0.1:8085"))
    with pytest.raises(PredictionLogError, match=both):
        api.serve_api(SimpleNamespace(stage="dispatch"), "staging", detach=True)  # type: ignore[arg-type]
    assert VARIABLE not in os.environ, "nor is it logged where configs/api.yaml says"
    monkeypatch.setenv("PREDICTIONS_DATABASE_PASSWORD", "known-now")
    project.on_stack("staging")
    assert ":known-now@" in prediction_store.store_address()


@pytest.mark.usefixtures("nowhere")
def test_another_stack_has_its_own_log(monkeypatch: pytest.MonkeyPatch) -> None:
    project.on_stack("staging")
    project.on_stack("local")
    assert prediction_store.store_address() == api_settings().database_url


class ClientOfDocker:
    """ZenML's, whose active stack is `docker`."""

    active_stack_model = SimpleNamespace(name="docker")


def holder(folder: Path, address: str) -> subprocess.Popen[str]:
    """A process of the project in this folder that works as long as it may."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDS], cwd=folder, env=os.environ | {VARIABLE: address},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.server
@pytest.mark.slow
def test_projects_that_share_a_database_take_turns_and_one_that_was_killed_is_followed(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """Two folders, as on two machines."""
    address = postgres.new_database()
    store = PredictionStore(address)
    store.create()
    store.close()
    folders = [copy_project(tmp_path / name, {}) for name in ("one", "two")]
    for folder in folders:
        settings = folder / "configs" / "loop.yaml"
        settings.write_text(settings.read_text().replace("lease_seconds: 60", f"lease_seconds: {SECONDS}"))
    first = holder(folders[0], address)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    second = holder(folders[1], address)
    told = second.communicate(timeout=60)[1]
    assert f"{BusyError.__name__}: Another {LOOP} runs (process {first.pid} on" in told
    first.kill()
    first.communicate()
    time.sleep(SECONDS)
    second = holder(folders[1], address)
    assert second.stdout is not None
    assert second.stdout.readline() == "held\n"
    second.kill()
    second.communicate()
