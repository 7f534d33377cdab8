"""Endpoints of our `mlserver` deployer: read from its folder and its server, changed through ZenML."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

from accidents.config import parse
from accidents.rollout.traffic_split import CHAMPION, Role
from stacks.components.mlserver.folder import ServedModel
from stacks.components.mlserver.model import fault_of, predict
from stacks.components.mlserver.server import ModelServer
from stacks.components.mlserver.settings import ServerSettings
from stacks.components.trials import served_as
from stacks.endpoints.adapter import explained, fetched
from stacks.endpoints.component import Component
from stacks.endpoints.protocol import (
    BundleReference,
    Endpoint,
    EndpointState,
    Predictor,
    ServedVersion,
    State,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from accidents.bundle.golden import Golden
    from stacks.components.mlserver.deployer import MLServerDeployer


class MLServerEndpoints:
    """The models of one model server of this machine; what only reads needs no ZenML."""

    flavor = "mlserver"
    on_this_machine = True

    def __init__(self, component: Component) -> None:
        self._component = component
        self._server = ModelServer(parse(ServerSettings, component.settings, "model_deployer"))

    def names(self) -> list[str]:
        """Models that the server has, running or not."""
        models = {**self._server.folder.served(), **self._server.folder.stopped()}
        return sorted(name for name, model in models.items() if not model.on_trial)

    def endpoint(self, name: str) -> Endpoint:
        """Return the endpoint of a model, also of one that was never deployed."""
        return MLServerEndpoint(name, self._server, self._component)


class MLServerEndpoint:
    """One model of the server."""

    no_trials = ""  # one server has them all

    def __init__(self, name: str, server: ModelServer, component: Component) -> None:
        self.name = name
        self._server, self._component = server, component

    def deploy(self, bundle: BundleReference, golden: Golden) -> ServedVersion:
        """Prove the version beside the one that serves, then switch, which no request notices."""
        with explained(), fetched(bundle) as files, _written(golden) as requests:
            deployer = self._deployer()
            config = deployer.deployment(
                model_name=self.name,
                model_version=bundle.version,
                bundle=files,
                golden=requests,
                digest=bundle.digest,
            )
            deployer.deploy_model(config)
        return self._served_version(ServedModel(self.name, bundle.version, bundle.digest))

    def try_out(self, bundle: BundleReference, golden: Golden, role: Role, share: int) -> ServedVersion:
        """Prove the version beside the one that serves, then have requests go to it; one server has both."""
        with explained(), fetched(bundle) as files, _written(golden) as requests:
            trial = self._server.try_out(self.name, bundle.version, files, requests, role, share)
        return self._served_version(trial.model, role, share)

    def end_trials(self) -> tuple[ServedVersion, ...]:
        """Have the champion answer everything; return what was beside it."""
        ended = self.versions()[1:]
        with explained():
            self._server.end_trials(self.name)
        return ended

    def versions(self) -> tuple[ServedVersion, ...]:
        """Return the version that serves the model, and those on trial beside it."""
        model = self._model()
        if model is None:
            return ()
        trials = [
            self._served_version(trial.model, cast(Role, trial.role), trial.share)
            for trial in self._server.folder.trials(self.name)
        ]
        rest = 100 - sum(trial.share for trial in trials)
        return (self._served_version(model, CHAMPION, rest), *trials)

    def state(self) -> EndpointState:
        """Whether the server answers with the version that it should have."""
        model, address = self._model(), self.v2_address()
        if model is None:
            return EndpointState(State.stopped, reason="nothing is deployed")
        served = self._served_version(model)
        url = f"{address}/v2/models/{self.name}/infer" if address and served.state == State.healthy else None
        return EndpointState(served.state, url, served.reason, self._server.supervision())

    def predict(self, frame: pd.DataFrame, role: Role = CHAMPION) -> npt.NDArray[np.float64]:
        """P(severe) of each row, asked over V2."""
        with explained():
            return predict(self._server, served_as(self.name, role), frame)

    def predictor(self, role: Role = CHAMPION) -> Predictor:
        """Return `predict`: what it looks up is on this machine."""
        return partial(self.predict, role=role)

    def v2_address(self) -> str | None:
        """Where the server answers on this machine; None if it does not run."""
        daemon = self._server.daemon()
        return f"http://127.0.0.1:{daemon.http_port}" if daemon else None

    def stop(self) -> None:
        """Serve the model no longer; with its last model the server ends."""
        with explained():
            deployer = self._deployer()
            for service in deployer.find_model_server(model_name=self.name):
                deployer.stop_model_server(service.uuid)
            if self.name in self._server.folder.served():  # of a store that is gone
                self._server.stop(self.name)

    def _model(self) -> ServedModel | None:
        folder = self._server.folder
        return folder.served().get(self.name) or folder.stopped().get(self.name)

    def _served_version(self, model: ServedModel, role: Role = CHAMPION, share: int = 100) -> ServedVersion:
        stopped = model.name not in self._server.folder.served()
        reason = fault_of(self._server, model)
        state = State.stopped if stopped else State.failing if reason else State.healthy
        return ServedVersion(model.version, model.digest, role, share, state, model.name, reason)

    def _deployer(self) -> MLServerDeployer:
        return cast("MLServerDeployer", self._component.deployer())


@contextmanager
def _written(golden: Golden) -> Iterator[Path]:
    """Golden requests as a file, as long as they are needed."""
    with TemporaryDirectory(prefix="golden-") as folder:
        file = Path(folder) / "golden.json"
        golden.write(file)
        yield file
