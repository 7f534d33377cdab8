"""The servers of ZenML's `bentoml` deployer: started, found, ended, and none left that it has forgotten."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from stacks.components.bentoml.bento_stores import BentoHome, BentoTag, environment
from stacks.components.bentoml.processes import strays, wait_until_listening
from stacks.components.mlserver.ports import HOST, choose_ports
from stacks.components.services_here import services_here
from stacks.errors import StackError
from stacks.processes import end

if TYPE_CHECKING:
    from zenml.integrations.bentoml.model_deployers import BentoMLModelDeployer
    from zenml.integrations.bentoml.services import (
        BentoMLLocalDeploymentConfig,
        BentoMLLocalDeploymentService,
    )
    from zenml.models.v2.misc.service import ServiceType

PORT = "BENTOML_PORT"  # BentoML's own name for it
_DEFAULT_PORT = 3000
_BUNDLE = "bundle:"  # begins the URI of what a Bento serves; its digest follows
_LET_GO_SECONDS = 5.0  # a process that was killed may hold its port a little longer
_STOP_SECONDS = 30


@dataclass(frozen=True)
class BentoServer:
    """A server that ZenML's store has, running or not."""

    service: BentoMLLocalDeploymentService

    @property
    def name(self) -> str:
        """Of the model."""
        return str(self.service.config.model_name)

    @property
    def version(self) -> str:
        """Of the model."""
        return str(self.service.config.model_version)

    @property
    def digest(self) -> str:
        """Of the bundle."""
        return str(self.service.config.model_uri).removeprefix(_BUNDLE)

    @property
    def tag(self) -> BentoTag:
        """Of the Bento."""
        name, _, version = self.service.config.bento_tag.partition(":")
        return BentoTag(name, version)

    @property
    def port(self) -> int:
        """Where it listens, on this machine alone."""
        return int(self.service.config.port or _DEFAULT_PORT)

    @property
    def wanted(self) -> bool:
        """Whether it was not stopped."""
        from zenml.enums import ServiceState

        return bool(self.service.admin_state == ServiceState.ACTIVE)

    @property
    def pid(self) -> int | None:
        """Of BentoML's arbiter, which brings its workers back; None if it has ended."""
        pid = self.service.status.pid
        return int(pid) if pid else None


class BentoServers:
    """Those of one deployer."""

    def __init__(self, deployer: BentoMLModelDeployer, home: BentoHome) -> None:
        from stacks.components.bentoml.service import with_current_bentoml

        self._deployer, self.home = with_current_bentoml(deployer), home

    def all(self) -> list[BentoServer]:
        """Newest first."""
        # Without a type ZenML returns the servers of other deployers, too.
        services = self._deployer.find_model_server(service_type=_service_type())
        here = services_here(services, self._deployer.local_path)
        return [BentoServer(cast("BentoMLLocalDeploymentService", service)) for service in here]

    def of(self, name: str) -> list[BentoServer]:
        """Those of a model, newest first."""
        return [server for server in self.all() if server.name == name]

    def start(self, tag: BentoTag, version: str, digest: str, port: int, timeout: int) -> BentoServer:
        """Serve a Bento, once it is loaded, beside what listens there already.

        Raises StackError with what it says if it does not come so far, RuntimeError as ZenML's deployers.
        """
        config = self._config(tag, version, digest, port)
        with _environment_of(self.home):
            started = self._deployer.deploy_model(
                # 0: ZenML would wait for a process that has ended, too, and then take it for running.
                config, _service_type(), continuous_deployment_mode=True, timeout=0
            )  # fmt: skip
        server = BentoServer(cast("BentoMLLocalDeploymentService", started))
        try:
            _wait(server, timeout)
        except BaseException:
            self.delete(server)
            raise
        return server

    def start_again(self, server: BentoServer, timeout: int) -> None:
        """Serve what was stopped."""
        with _environment_of(self.home):
            self._deployer.start_model_server(server.service.uuid, 0)
        _wait(server, timeout)

    def stop(self, server: BentoServer) -> None:
        """End it; ZenML goes on knowing it."""
        self._deployer.stop_model_server(server.service.uuid, timeout=_STOP_SECONDS)
        self.end_strays()

    def delete(self, server: BentoServer) -> None:
        """End it, and have ZenML forget it."""
        self._deployer.delete_model_server(server.service.uuid, timeout=_STOP_SECONDS)
        self.end_strays()

    def end_strays(self) -> None:
        """End what works for this home and ZenML does not know to run."""
        known = {server.pid for server in self.all() if server.pid is not None}
        for process in strays(self.home, known):
            end(process)

    def clean(self) -> None:
        """Delete the Bentos that no server is of."""
        self.home.keep_only({server.tag for server in self.all()})

    def _config(self, tag: BentoTag, version: str, digest: str, port: int) -> BentoMLLocalDeploymentConfig:
        from zenml.integrations.bentoml.services import BentoMLLocalDeploymentConfig

        return BentoMLLocalDeploymentConfig(
            name=tag.name,
            model_name=tag.name,
            model_version=version,
            model_uri=f"{_BUNDLE}{digest}",
            bento_tag=str(tag),
            apis=["predict"],
            host=HOST,
            port=port,
            working_dir=str(self.home.folder),
            # Nothing else has this name, so ZenML takes no running server for this one, nor deletes it first.
            pipeline_step_name=f"deploy-{uuid4().hex}",
        )


def port_for(before: Sequence[BentoServer]) -> int:
    """Return what $BENTOML_PORT says.

    Else where the model was served last, and so is asked; else BentoML's 3000.
    """
    stated = os.environ.get(PORT)
    if stated is None:
        return before[0].port if before else _DEFAULT_PORT
    if not stated.isdigit() or not 0 < int(stated) < 65536:
        raise StackError(f"{PORT} is {stated!r}. Set it to a port: a number from 1 to 65535.")
    return int(stated)


def require_free(port: int) -> None:
    """Raise StackError if something listens there: ZenML would look for a server of ours at another port."""
    other = f"set another: {PORT}={port + 1} python run.py --pipeline deploy --stack STACK"
    choose_ports({PORT: port}, _LET_GO_SECONDS, other)


def _wait(server: BentoServer, timeout: float) -> None:
    log = Path(str(server.service.status.log_file))
    wait_until_listening(server.tag, lambda: server.pid, server.port, log, timeout)


def _service_type() -> ServiceType:
    from zenml.integrations.bentoml.services import BentoMLLocalDeploymentService

    return BentoMLLocalDeploymentService.SERVICE_TYPE


@contextmanager
def _environment_of(home: BentoHome) -> Iterator[None]:
    """ZenML starts BentoML with this process' environment: for so long without what is not meant for it."""
    before = dict(os.environ)
    zenml = {name: value for name, value in before.items() if name.startswith("ZENML_")}
    passed = {name: value for name, value in zenml.items() if not name.startswith("ZENML_STORE_")}
    os.environ.clear()
    os.environ.update({**passed, **environment(home.folder)})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
