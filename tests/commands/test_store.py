"""Which command makes a prediction log, and where."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from accidents.predictions.store import VARIABLE
from accidents.predictions.tables import NoDatabaseError
from commands.store import opened_store

pytest_plugins = ("tests.log_fixtures",)  # the fixture `address`


def test_a_missing_file_may_be_begun_and_a_shared_database_is_not(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, address)
    for begin in (False, True):
        made = begin and address.startswith("sqlite")
        refused = nullcontext() if made else pytest.raises(NoDatabaseError, match=r"run\.py database upgrade")
        with refused, opened_store(begin) as store:
            assert store.log.count() == 0
