"""One real model server for the tests of its runtime."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from stacks.components.mlserver.server import ModelServer
from tests.model_servers import Version, client_of, copy_code, deploy, make_version, model_server


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """A tiny bundle."""
    return make_version(tmp_path_factory.mktemp("version"), seed=1)


@pytest.fixture(scope="session")
def server(version: Version, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """A model server that serves it as version 7."""
    code = copy_code(tmp_path_factory.mktemp("code"))
    with model_server(tmp_path_factory.mktemp("server"), code) as running:
        deploy(running, "7", version)
        yield running


@pytest.fixture(scope="session")
def http(server: ModelServer) -> Iterator[httpx.Client]:
    """Asks that server."""
    with httpx.Client(base_url=client_of(server).url, trust_env=False, timeout=60) as client:
        yield client
