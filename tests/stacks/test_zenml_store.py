"""A ZenML server that cannot be used, as a command tells it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from stacks import zenml_store
from stacks.errors import StackError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("Error connecting to URL http://a:1: refused", "ZenML's server http://a:1 does not answer."),
        (
            "HTTPConnectionPool: Read timed out. (read timeout=30)",
            "ZenML's server http://a:1 does not answer.",
        ),
        ("Authentication error: no such key", "ZenML's server http://a:1 refuses: Authentication error"),
    ],
)
def test_a_server_that_is_silent_is_not_said_to_refuse(
    monkeypatch: pytest.MonkeyPatch, error: str, told: str
) -> None:
    class Client:
        @property
        def zen_store(self) -> None:
            raise RuntimeError(error)

    configuration = SimpleNamespace(store_configuration=SimpleNamespace(url="http://a:1"))
    monkeypatch.setattr("zenml.client.Client", Client)
    monkeypatch.setattr("zenml.config.global_config.GlobalConfiguration", lambda: configuration)
    with pytest.raises(StackError, match=told):
        zenml_store._client()
