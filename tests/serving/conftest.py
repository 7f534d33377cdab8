"""Real model servers for the tests of what they answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from stacks.components.bentoml.bento_stores import BentoHome, HeldVersion
from stacks.components.bentoml.processes import served_aside
from stacks.components.mlserver.server import ModelServer
from tests.conftest import ROOT
from tests.model_servers import NAME, Version, client_of, copy_code, deploy, make_version, model_server

INFER = f"/v2/models/{NAME}/infer"


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """A tiny bundle."""
    return make_version(tmp_path_factory.mktemp("version"), seed=1)


@pytest.fixture(scope="session")
def on_trial(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """Another one, of which nothing but the seed is other."""
    return make_version(tmp_path_factory.mktemp("version"), seed=2)


@pytest.fixture(scope="session")
def server(version: Version, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """A model server that serves it as version 7."""
    code = copy_code(tmp_path_factory.mktemp("code"))
    with model_server(tmp_path_factory.mktemp("server"), code) as running:
        deploy(running, "7", version)
        yield running


@pytest.fixture(scope="session")
def mlserver_http(server: ModelServer) -> Iterator[httpx.Client]:
    """Asks that server."""
    with client_at(client_of(server).url) as client:
        yield client


@pytest.fixture
def http(mlserver_http: httpx.Client) -> httpx.Client:
    """The same."""
    return mlserver_http


@pytest.fixture(scope="session")
def bentoml_http(
    version: Version, on_trial: Version, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """Asks BentoML, which serves the same as version 7, and version 9 on trial beside it."""
    home, tried = BentoHome(tmp_path_factory.mktemp("bento"), ROOT), on_trial.bundle
    tag = home.build(
        NAME,
        HeldVersion("7", version.bundle.digest, version.bundle.folder),
        HeldVersion("9", tried.digest, tried.folder, "challenger", 30),
    )
    with served_aside(home, tag, timeout=120) as served, client_at(served.url) as client:
        yield client


def client_at(url: str) -> httpx.Client:
    """Asks a server of this machine."""
    return httpx.Client(base_url=url, trust_env=False, timeout=60)


def answered(http: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = http.post(INFER, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())
