"""Endpoints of ZenML's `bentoml` deployer: a Bento and a server for each model, at a port that stays.

A Bento holds everything that it serves: one with a version on trial, or another share, is a new one.

ZenML's deployer neither builds a Bento nor asks it for anything, takes a server that did not start for one
that runs, and can start none where another one listens: the traps in stacks/components/bentoml/__init__.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from accidents.bundle import load_bundle
from accidents.bundle.golden import Golden, make_golden
from accidents.rollout.traffic_split import CHAMPION, Role
from stacks.components.bentoml.bento_stores import BentoHome, BentoTag, HeldVersion
from stacks.components.bentoml.installed import require_installed
from stacks.components.bentoml.processes import served_aside, wait_until_ready
from stacks.components.bentoml.servers import BentoServer, BentoServers, port_for, require_free
from stacks.components.mlserver.client import ModelServerClient
from stacks.components.mlserver.model import predict_with
from stacks.components.trials import already_served, nothing_to_try_beside, served_as, stays_beside
from stacks.endpoints.adapter import explained, fetched
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

START_SECONDS = 120


@dataclass(frozen=True)
class ProvableVersion:
    """A version that a Bento is to hold, and what it must answer."""

    held: HeldVersion
    golden: Golden


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


class BentoMLEndpoint:
    """One model. What serves it is looked up in ZenML's store, but for a prediction, which must be quick."""

    no_trials = ""  # a Bento has them all

    def __init__(self, name: str, component: Component) -> None:
        self.name = name
        self._component = component
        self._server: BentoServer | None = None  # as it was looked up last

    def deploy(self, bundle: BundleReference, golden: Golden) -> ServedVersion:
        """Prove the version beside the one that serves, then switch: on Linux no request notices."""
        with explained(), fetched(bundle) as files, self._changing() as servers:
            held = HeldVersion(bundle.version, bundle.digest, files)
            self._serve(servers, [ProvableVersion(held, golden)])
        return self.versions()[0]

    def try_out(self, bundle: BundleReference, golden: Golden, role: Role, share: int) -> ServedVersion:
        """Prove a Bento with the version and the one that serves beside that, then switch to it."""
        with explained(), fetched(bundle) as files, self._changing() as servers:
            champion, trials = self._held(servers)
            if (bundle.version, bundle.digest) == (champion.version, champion.digest):
                raise already_served(self.name, bundle.version)
            new = (role, bundle.version)
            others = [trial for trial in trials if stays_beside(trial.role, trial.version, *new)]
            tried = HeldVersion(bundle.version, bundle.digest, files, role, share)
            kept = [_provable(held) for held in (champion, *others)]
            self._serve(servers, [*kept, ProvableVersion(tried, golden)])
        return next(version for version in self.versions() if version.role == role)

    def end_trials(self) -> tuple[ServedVersion, ...]:
        """Switch to a Bento with the champion alone; return what was beside it."""
        ended = self.versions()[1:]
        if ended:
            with explained(), self._changing() as servers:
                champion, _ = self._held(servers)
                self._serve(servers, [_provable(champion)])
        return ended

    def versions(self) -> tuple[ServedVersion, ...]:
        """Return the version that was deployed last, and those on trial beside it."""
        servers = _servers(self._component)
        server = self._newest(servers)
        if server is None:
            return ()
        trials = _trials(servers, server)
        rest = 100 - sum(trial.share for trial in trials)
        return (
            _served_version(server, _champion(servers, server), rest),
            *(_served_version(server, trial, trial.share) for trial in trials),
        )

    def state(self) -> EndpointState:
        """Whether its server answers as the version that it should be."""
        servers = _servers(self._component)
        server = self._newest(servers)
        if server is None:
            return EndpointState(State.stopped, reason="nothing is deployed")
        served = _served_version(server, _champion(servers, server))
        url = f"{_client(server).url}/v2/models/{self.name}/infer" if served.state == State.healthy else None
        return EndpointState(served.state, url, served.reason, _supervision(server))

    def predict(self, frame: pd.DataFrame, role: Role = CHAMPION) -> npt.NDArray[np.float64]:
        """P(severe) of each row, asked over V2."""
        server = self._server or self._newest(_servers(self._component))
        if server is None or not server.wanted:
            reason = "stopped" if server else "nothing is deployed"
            raise DeploymentError(f"{self.name} is not served: {reason}.")
        with explained():
            return predict_with(_client(server), served_as(self.name, role), frame)

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

    @contextmanager
    def _changing(self) -> Iterator[BentoServers]:
        """Yield the servers, for this process alone to change; nothing is left that none of them is of."""
        servers = _servers(self._component)
        _require_own(servers.home)
        with servers.home.changing():
            servers.end_strays()
            servers.clean()
            try:
                yield servers
            finally:
                servers.clean()

    def _serve(self, servers: BentoServers, versions: Sequence[ProvableVersion]) -> None:
        """Have a new Bento of these, the champion first, take over once it is proved."""
        port = _port(servers, self.name)
        tag = servers.home.build(self.name, *(version.held for version in versions))
        with served_aside(servers.home, tag, START_SECONDS) as client:
            _check(client, self.name, versions)
        self._server = _switch(servers, tag, port, versions)

    def _held(self, servers: BentoServers) -> tuple[HeldVersion, list[HeldVersion]]:
        """Return the champion and what is on trial. Raises StackError if nothing is to be served."""
        server = self._newest(servers)
        if server is None or not server.wanted:
            raise nothing_to_try_beside(self.name)
        return _champion(servers, server), _trials(servers, server)

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


def _port(servers: BentoServers, name: str) -> int:
    """Where a model is to be served. Raises StackError if something else listens there."""
    before = servers.of(name)
    port = port_for(before)
    if not any(server.port == port and server.pid for server in before):
        require_free(port)
    return port


def _switch(
    servers: BentoServers, tag: BentoTag, port: int, versions: Sequence[ProvableVersion]
) -> BentoServer:
    """Serve a Bento at a port, then end what served the model so far; that comes back on a fault."""
    before = servers.of(tag.name)
    serving = [server for server in before if server.wanted]
    champion = versions[0].held
    new = servers.start(tag, champion.version, champion.digest, port, START_SECONDS)
    for old in serving:
        servers.stop(old)
    try:
        _check(_client(new), tag.name, versions)
    except BaseException:
        servers.delete(new)
        for old in serving:
            servers.start_again(old, START_SECONDS)
        raise
    for old in before:
        servers.delete(old)
    return new


def _champion(servers: BentoServers, server: BentoServer) -> HeldVersion:
    return HeldVersion(server.version, server.digest, servers.home.bundle(server.tag))


def _trials(servers: BentoServers, server: BentoServer) -> list[HeldVersion]:
    """Return what is on trial at a server: with its model a trial is stopped, too."""
    return servers.home.trials(server.tag) if server.wanted else []


def _provable(held: HeldVersion) -> ProvableVersion:
    """Return a version as a Bento has it. Raises BundleError if that has been changed since."""
    return ProvableVersion(held, make_golden(load_bundle(held.bundle, held.digest)))


def _check(client: ModelServerClient, name: str, versions: Sequence[ProvableVersion]) -> None:
    """Raise DeploymentError or StackError unless it has these versions, and they give the golden answers."""
    for version in versions:
        held, model = version.held, served_as(name, version.held.role)
        wait_until_ready(client, model, START_SECONDS)
        fault = _fault(client, model, held)
        if fault:
            raise DeploymentError(f"{name} version {held.version}: {fault}.")
        version.golden.check(
            predict_with(client, model, version.golden.features), f"{model} at {client.url}"
        )  # fmt: skip


def _fault(client: ModelServerClient, model: str, held: HeldVersion) -> str:
    """Why a server does not answer as a version; empty if it does."""
    metadata = client.metadata(model)
    if metadata is None:
        return f"the server at {client.url} does not answer for it"
    answers = metadata.get("versions"), metadata.get("parameters", {}).get("digest")
    if answers == ([held.version], held.digest):
        return ""
    return f"the server at {client.url} answers as {answers[0]}"


def _served_version(server: BentoServer, held: HeldVersion, share: int = 100) -> ServedVersion:
    role, model = cast(Role, held.role), served_as(server.name, held.role)
    state, reason = State.stopped, "stopped"
    if server.wanted:
        reason = _fault(_client(server), model, held)
        if reason and server.pid is None:
            reason = "its server has ended"
        state = State.failing if reason else State.healthy
    return ServedVersion(held.version, held.digest, role, share, state, model, reason)


def _supervision(server: BentoServer) -> str:
    if not server.wanted:
        return ""
    if server.pid is None:
        return "unsupervised: BentoML's arbiter has ended; deploy again"
    return f"BentoML (process {server.pid}) looks every ten seconds whether its worker is there"


def _client(server: BentoServer) -> ModelServerClient:
    return ModelServerClient(server.port)
