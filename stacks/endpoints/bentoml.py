"""Endpoints of ZenML's `bentoml` deployer: a Bento and a server for each model, at a port that stays.

ZenML's deployer neither builds a Bento nor asks it for anything, takes a server that did not start for one
that runs, and can start none where another one listens: the traps in stacks/components/bentoml/__init__.py.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from accidents.rollout.traffic_split import CHAMPION, Role
from stacks.components.bentoml.bento_stores import BentoHome, BentoTag
from stacks.components.bentoml.installed import require_installed
from stacks.components.bentoml.processes import served_aside, wait_until_ready
from stacks.components.bentoml.servers import BentoServer, BentoServers, port_for, require_free
from stacks.components.mlserver.client import ModelServerClient
from stacks.components.mlserver.model import predict_with
from stacks.endpoints.adapter import OneVersionEndpoint, explained, fetched
from stacks.endpoints.component import Component
from stacks.endpoints.protocol import (
    BundleReference,
    DeploymentError,
    Endpoint,
    EndpointState,
    Predictor,
    ServedVersion,
    State,
)
from stacks.environment import project_root
from stacks.zenml_store import is_embedded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from zenml.integrations.bentoml.model_deployers import BentoMLModelDeployer

    from accidents.bundle.golden import Golden

START_SECONDS = 120


class BentoMLEndpoints:
    """The models that BentoML serves for a stack."""

    flavor = "bentoml"
    on_this_machine = True

    def __init__(self, component: Component) -> None:
        self._component = component

    def names(self) -> list[str]:
        """Models that ZenML's store has a service of; none, also without BentoML, where its folder is not."""
        home = self._component.settings.get("service_path")
        if home and not Path(home).is_dir():
            return []
        return sorted({server.name for server in _servers(self._component).all()})

    def endpoint(self, name: str) -> Endpoint:
        """Return the endpoint of a model, also of one that was never deployed."""
        return BentoMLEndpoint(name, self._component)


class BentoMLEndpoint(OneVersionEndpoint):
    """One model. What serves it is looked up in ZenML's store, but for a prediction, which must be quick."""

    server = "BentoML"

    def __init__(self, name: str, component: Component) -> None:
        super().__init__(name, component)
        self._server: BentoServer | None = None  # as it was looked up last

    def deploy(self, bundle: BundleReference, golden: Golden) -> ServedVersion:
        """Prove the version beside the one that serves, then switch: both listen until the old one ends.

        Whoever is connected notices nothing; a connection that is opened as it ends may be reset.
        """
        with explained(), fetched(bundle) as files:
            servers = _servers(self._component)
            _require_own(servers.home)
            with servers.home.changing():
                servers.end_strays()
                servers.clean()
                port = _port(servers, self.name)
                tag = servers.home.build(self.name, bundle.version, bundle.digest, files)
                try:
                    _prove(servers.home, tag, bundle, golden)
                    self._server = _switch(servers, tag, port, bundle, golden)
                finally:
                    servers.clean()
            return _served_version(self._server)

    def versions(self) -> tuple[ServedVersion, ...]:
        """Return the version that was deployed last."""
        servers = _servers(self._component)
        server = self._newest(servers)
        return (_served_version(server),) if server else ()

    def state(self) -> EndpointState:
        """Whether its server answers as the version that it should be."""
        servers = _servers(self._component)
        server = self._newest(servers)
        if server is None:
            return EndpointState(State.stopped, reason="nothing is deployed")
        served = _served_version(server)
        url = f"{_client(server).url}/v2/models/{self.name}/infer" if served.state == State.healthy else None
        return EndpointState(served.state, url, served.reason, _supervision(server))

    def predict(self, frame: pd.DataFrame, role: Role = CHAMPION) -> npt.NDArray[np.float64]:
        """P(severe) of each row, asked over V2."""
        self._require_champion(role)
        server = self._server or self._newest(_servers(self._component))
        if server is None or not server.wanted:
            reason = "stopped" if server else "nothing is deployed"
            raise DeploymentError(f"{self.name} is not served: {reason}.")
        with explained():
            return predict_with(_client(server), self.name, frame)

    def predictor(self, role: Role = CHAMPION) -> Predictor:
        """Return `predict`: what it looks up is on this machine."""
        return partial(self.predict, role=role)

    def v2_address(self) -> str | None:
        """Where the server answers on this machine; None if it does not run."""
        server = self._newest(_servers(self._component))
        return _client(server).url if server and server.wanted and _client(server).is_live() else None

    def stop(self) -> None:
        """End its server."""
        with explained():
            servers = _servers(self._component)
            _require_own(servers.home)
            with servers.home.changing():
                for server in servers.of(self.name):
                    servers.stop(server)
        self._server = None

    def _newest(self, servers: BentoServers) -> BentoServer | None:
        self._server = next(iter(servers.of(self.name)), None)
        return self._server


def _servers(component: Component) -> BentoServers:
    with explained():
        require_installed(_lock())  # before ZenML imports it
    deployer = cast("BentoMLModelDeployer", component.deployer())
    # ZenML's only setting: where servers keep their files. What they serve is kept there, too.
    home = Path(deployer.local_path).resolve()
    return BentoServers(deployer, BentoHome(home, project_root()))


def _require_own(home: BentoHome) -> None:
    """Raise DeploymentError on a shared server for the folder of another, who has applied the stack."""
    from zenml.client import Client

    if not (is_embedded(Client()) or home.folder.is_relative_to(project_root().resolve())):
        raise DeploymentError(
            f"The stack was applied from another folder: ZenML's bentoml deployer serves in {home.folder}. "
            "Use a stack with an mlserver deployer, which serves in the folder of who deploys."
        )


def _lock() -> Path:
    return project_root() / "requirements" / "bento.txt"


def _prove(home: BentoHome, tag: BentoTag, bundle: BundleReference, golden: Golden) -> None:
    """Have a Bento give the golden answers beside what serves. Raises StackError or DeploymentError."""
    with served_aside(home, tag, START_SECONDS) as client:
        _check(client, bundle, golden)


def _port(servers: BentoServers, name: str) -> int:
    """Where a model is to be served. Raises StackError if something else listens there."""
    before = servers.of(name)
    port = port_for(before)
    if not any(server.port == port and server.pid for server in before):
        require_free(port)
    return port


def _switch(
    servers: BentoServers, tag: BentoTag, port: int, bundle: BundleReference, golden: Golden
) -> BentoServer:
    """Serve a Bento at a port, then end what served the model so far; that comes back on a fault."""
    before = servers.of(tag.name)
    serving = [server for server in before if server.wanted]
    new = servers.start(tag, bundle.version, bundle.digest, port, START_SECONDS)
    for old in serving:
        servers.stop(old)
    try:
        _check(_client(new), bundle, golden)
    except BaseException:
        servers.delete(new)
        for old in serving:
            servers.start_again(old, START_SECONDS)
        raise
    for old in before:
        servers.delete(old)
    return new


def _check(client: ModelServerClient, bundle: BundleReference, golden: Golden) -> None:
    """Raise DeploymentError or StackError unless it is this version, and gives the golden answers."""
    wait_until_ready(client, bundle.name, START_SECONDS)
    fault = _fault(client, bundle.name, bundle.version, bundle.digest)
    if fault:
        raise DeploymentError(f"{bundle.name} version {bundle.version}: {fault}.")
    golden.check(predict_with(client, bundle.name, golden.features), f"The server at {client.url}")


def _fault(client: ModelServerClient, name: str, version: str, digest: str) -> str:
    """Why a server does not answer as a version; empty if it does."""
    metadata = client.metadata(name)
    if metadata is None:
        return f"the server at {client.url} does not answer for it"
    answers = metadata.get("versions"), metadata.get("parameters", {}).get("digest")
    return "" if answers == ([version], digest) else f"the server at {client.url} answers as {answers[0]}"


def _served_version(server: BentoServer) -> ServedVersion:
    digest = server.digest
    state, reason = State.stopped, "stopped"
    if server.wanted:
        reason = _fault(_client(server), server.name, server.version, digest)
        if reason and server.pid is None:
            reason = "its server has ended"
        state = State.failing if reason else State.healthy
    return ServedVersion(server.version, digest, CHAMPION, 100, state, server.name, reason)


def _supervision(server: BentoServer) -> str:
    if not server.wanted:
        return ""
    if server.pid is None:
        return "unsupervised: BentoML's arbiter has ended; deploy again"
    return f"BentoML (process {server.pid}) looks every ten seconds whether its worker is there"


def _client(server: BentoServer) -> ModelServerClient:
    return ModelServerClient(server.port)
