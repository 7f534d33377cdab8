"""Endpoints of our `seldon_core` deployer: a namespace of a cluster, or Seldon's server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from accidents.config import parse
from accidents.rollout.traffic_split import CHAMPION, Role
from stacks.components.mlserver.model import predict_with
from stacks.components.seldon_core.cluster_serving import serving_of
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.renderings import require_serving
from stacks.components.seldon_core.serving_protocol import ServedModels
from stacks.components.seldon_core.settings import MICROSERVICE, SeldonCoreSettings
from stacks.endpoints.adapter import explained, fetched
from stacks.endpoints.component import Component
from stacks.endpoints.protocol import (
    BundleReference,
    DeploymentError,
    Endpoint,
    EndpointState,
    ServedVersion,
    State,
)

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from accidents.bundle.golden import Golden
    from stacks.components.seldon_core.deployer import SeldonCoreDeployer
    from stacks.endpoints.protocol import Predictor


class SeldonCoreEndpoints:
    """The models of one namespace, or folder."""

    flavor = "seldon_core"

    def __init__(self, component: Component) -> None:
        self._component = component
        self._settings = parse(SeldonCoreSettings, component.settings, "model_deployer").here()
        self.on_this_machine = self._settings.runtime == MICROSERVICE

    def names(self) -> list[str]:
        """Models that are deployed there, running or not."""
        with explained():
            return self._serving().names()

    def endpoint(self, name: str) -> Endpoint:
        """Return the endpoint of a model, also of one that was never deployed."""
        return SeldonCoreEndpoint(name, self._settings, self._component)

    def _serving(self) -> ServedModels:
        return serving_of(self._settings)


class SeldonCoreEndpoint:
    """One model. What serves it is read each time: others change it, too."""

    def __init__(self, name: str, settings: SeldonCoreSettings, component: Component) -> None:
        self.name = name
        self._settings, self._component = settings, component

    @property
    def no_trials(self) -> str:
        """Why no version can be on trial there, in words; empty where one can."""
        with explained():
            return self._serving.no_trials

    def deploy(self, bundle: BundleReference, golden: Golden) -> ServedVersion:
        """Prove the version in pods, or a process, of its own, then switch, which no request notices."""
        with explained(), self._at_hand(_bundle(bundle), bundle) as at_hand:
            require_serving(self._settings.runtime)
            served = self._serving.switch(self.name, at_hand, _golden(golden))
            deployer = cast("SeldonCoreDeployer", self._component.deployer())
            deployer.record(deployer.deployment(self.name, served.champion))
        return _served_version(served, served.champion)

    def try_out(self, bundle: BundleReference, golden: Golden, role: Role, share: int) -> ServedVersion:
        """Prove the version in pods of its own, then have requests go to it."""
        tried = _bundle(bundle, role, share)
        with explained():
            served = self._serving.try_out(self.name, tried, _golden(golden))
        return _served_version(served, tried)

    def end_trials(self) -> tuple[ServedVersion, ...]:
        """Have the champion answer everything; return what was beside it."""
        with explained():
            served = self._serving.served(self.name)
            ended = self._serving.end_trials(self.name)
        return tuple(_served_version(served, bundle) for bundle in ended) if served else ()

    def versions(self) -> tuple[ServedVersion, ...]:
        """Return the champion, and those on trial beside it, each as it is now."""
        with explained():
            served = self._serving.served(self.name)
            return tuple(self._looked_at(served, bundle) for bundle in served) if served else ()

    def state(self) -> EndpointState:
        """Whether the champion answers, and its objects are as they were applied."""
        with explained():
            served = self._serving.served(self.name)
            if served is None:
                return EndpointState(State.stopped, reason="nothing is deployed")
            champion = self._looked_at(served, served.champion)
            if champion.state != State.healthy:
                return EndpointState(champion.state, None, champion.reason, self._supervision(served))
            url = self._serving.prediction_url(served, served.champion)
            return EndpointState(State.healthy, url, supervision=self._supervision(served))

    def predict(self, frame: pd.DataFrame, role: Role = CHAMPION) -> npt.NDArray[np.float64]:
        """P(severe) of each row, by way of the cluster's API, or asked here."""
        return self.predictor(role)(frame)

    def predictor(self, role: Role = CHAMPION) -> Predictor:
        """Return what asks the version over a connection that is there, and nothing else."""
        with explained():
            serving = self._serving
            served = serving.served(self.name)
            bundle = served and served.in_role(role)
            if not served or not bundle or served.stopped:
                raise DeploymentError(f"{self.name} is not served: no version serves as {role}.")
            client, model = _VersionClient(serving, served, bundle), served.model(bundle)

        def predict(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
            with explained():
                return predict_with(client, model, frame)

        return predict

    def v2_address(self) -> str | None:
        """Where the champion is asked over V2, from here; None where it is not."""
        with explained():
            served = self._serving.served(self.name)
            return None if served is None or served.stopped else self._serving.v2_address(served)

    def stop(self) -> None:
        """Take away what runs; what is deployed stays known."""
        with explained():
            self._serving.stop(self.name)

    @property
    def _serving(self) -> ServedModels:
        return serving_of(self._settings)

    def _looked_at(self, served: Served, bundle: ServedBundle) -> ServedVersion:
        if served.stopped:
            return _served_version(served, bundle, State.stopped)
        fault = self._serving.fault(served, bundle)
        return _served_version(served, bundle, State.failing if fault else State.healthy, fault)

    def _supervision(self, served: Served) -> str:
        """Say who brings it back, and what somebody has changed since it was applied."""
        return "" if served.stopped else self._serving.supervision(served)

    @contextmanager
    def _at_hand(self, bundle: ServedBundle, reference: BundleReference) -> Iterator[ServedBundle]:
        """Yield the bundle where what serves it reads it: processes here read files of this machine."""
        if not self._serving.reads_bundles:
            yield bundle
            return
        with fetched(reference) as files:
            yield replace(bundle, uri=str(files))


class _VersionClient:
    """A version, asked as a model server is."""

    def __init__(self, serving: ServedModels, served: Served, bundle: ServedBundle) -> None:
        self._serving, self._served, self._bundle = serving, served, bundle
        self._metadata = serving.metadata(served, bundle)

    def metadata(self, name: str) -> dict[str, Any] | None:
        return self._metadata

    def predict(self, name: str, request: dict[str, Any]) -> list[float]:
        return self._serving.predict(self._served, self._bundle, request)


def _bundle(reference: BundleReference, role: Role = CHAMPION, share: int = 100) -> ServedBundle:
    return ServedBundle(reference.version, reference.digest, reference.uri, role, share)


def _golden(golden: Golden) -> dict[str, Any]:
    return {"request": golden.request(), "p_severe": golden.p_severe.tolist()}


def _served_version(
    served: Served, bundle: ServedBundle, state: State = State.healthy, reason: str = ""
) -> ServedVersion:
    role = cast(Role, bundle.role)
    return ServedVersion(
        bundle.version, bundle.digest, role, bundle.share, state, served.model(bundle), reason
    )
