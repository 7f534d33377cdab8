"""Where steps find the prediction store: the environment, a secret of ZenML, or nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from accidents.errors import SettingsError
from accidents.predictions.database_tables import NoDatabaseError, PredictionLogError
from accidents.predictions.store import VARIABLE, PredictionStore
from steps.support.prediction_store import KEY, SECRET, opened_store, use_secret
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]


@pytest.fixture
def secret(zenml_store: Path, tmp_path: Path) -> Iterator[str]:
    """The address that ZenML keeps."""
    from zenml.client import Client

    address = f"sqlite:///{tmp_path}/secret.db"
    Client().create_secret(SECRET, {KEY: address})
    yield address
    Client().delete_secret(SECRET)


@pytest.mark.parametrize(
    "told", [None, ""], ids=["not set", "empty, as of a GitHub secret that is not there"]
)
def test_a_secret_says_where_it_is_and_the_environment_wins(
    secret: str, told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "")  # put back, whatever is set in between
    if told is None:
        monkeypatch.delenv(VARIABLE)
    with pytest.raises(NoDatabaseError, match=r"secret\.db"), opened_store():
        pass
    store = PredictionStore(secret)
    store.create()
    store.close()
    with opened_store() as found:
        assert found.place == str(tmp_path / "secret.db")
    use_secret()
    assert os.environ[VARIABLE] == secret
    monkeypatch.setenv(VARIABLE, f"sqlite:///{tmp_path}/mine.db")
    use_secret()
    with pytest.raises(NoDatabaseError, match=r"mine\.db"), opened_store():
        pass
    assert [path.name for path in tmp_path.glob("*.db")] == ["secret.db"]


def test_without_either_it_says_how_one_is_given(zenml_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with (
        pytest.raises(SettingsError, match=f"{VARIABLE} is not set.*zenml secret create {SECRET}"),
        opened_store(),
    ):
        pass


@pytest.mark.parametrize("password", ["s3cret", "p%40ss"])
def test_a_server_that_is_not_there_is_named_without_its_password(
    zenml_store: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv(VARIABLE, f"postgresql://me:{password}@127.0.0.1:1/log")
    told = r"postgresql://127\.0\.0\.1:1/log.*Is the server running"
    with pytest.raises(PredictionLogError, match=told) as caught, opened_store():
        pass
    assert password not in str(caught.value)
