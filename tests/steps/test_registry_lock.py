"""One at a time on a shared server, on a real store of ZenML's that is taken for one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from steps.support import registry_lock
from tests.zenml_store import zenml_store

__all__ = ["zenml_store"]


@pytest.fixture(autouse=True)
def shared(zenml_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_lock, "_is_shared", lambda _: True)
    monkeypatch.setattr(registry_lock, "_PAUSE", 0.05)


def tags() -> list[str]:
    from zenml.client import Client

    return [one.name for one in Client().list_tags(name=registry_lock.TAG).items]


def test_a_second_one_waits_until_the_first_is_through(capsys: pytest.CaptureFixture[str]) -> None:
    order = []

    def second() -> None:
        with registry_lock.turn():
            order.append("second")

    with registry_lock.turn():
        other = threading.Thread(target=second)
        other.start()
        other.join(1)
        assert other.is_alive()
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]
    assert tags() == [], "nothing is left of it"
    assert capsys.readouterr().err.count("waiting for another") == 1


def test_the_turn_of_one_that_failed_is_over() -> None:
    with pytest.raises(ZeroDivisionError), registry_lock.turn():
        raise ZeroDivisionError
    assert tags() == []


def test_a_turn_is_its_owners_also_where_the_servers_clock_is_late() -> None:
    """By the waiting machine's clock it is as old as one that was killed."""
    from zenml.client import Client

    def wait() -> None:
        with registry_lock.turn():
            pass

    store: Any = Client().zen_store
    waiting = threading.Thread(target=wait)
    with registry_lock.turn():
        with store.engine.begin() as connection:
            connection.execute(sqlalchemy.text("UPDATE tag SET created = '2020-01-01 00:00:00.000000'"))
        waiting.start()
        waiting.join(1)
        assert waiting.is_alive()
    waiting.join(10)
    assert tags() == []


def test_the_turn_of_one_that_was_killed_is_over_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    from zenml.client import Client

    Client().create_tag(registry_lock.TAG)
    monkeypatch.setattr(registry_lock, "LONGEST", 0.2)
    with registry_lock.turn():
        assert tags() == [registry_lock.TAG]
    assert tags() == []
