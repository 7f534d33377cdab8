"""Endpoints of our `seldon_core` deployer: a namespace of a Kubernetes cluster, whatever serves there."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from accidents.config import parse
from accidents.rollout.roles import CHAMPION, Role
from stacks.cluster.namespace import is_pod
from stacks.components.mlserver.model import predict_with
from stacks.components.seldon_core.served import Served, ServedBundle
from stacks.components.seldon_core.serving import ClusterServing, serving_of
from stacks.components.seldon_core.settings import SeldonCoreSettings
from stacks.endpoints.adapter import explained
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


class SeldonCoreEndpoints:
    """The models of one namespace."""

    flavor = "seldon_core"

    def __init__(self, component: Component) -> None:
        self._component = component
        self._settings = parse(SeldonCoreSettings, component.settings, "model_deployer").here()

    def names(self) -> list[str]:
        """Models that are deployed there, running or not."""
        with explained():
            return self._serving().names()

    def endpoint(self, name: str) -> Endpoint:
        """Return the endpoint of a model, also of one that was never deployed."""
        return SeldonCoreEndpoint(name, self._settings, self._component)

    def _serving(self) -> ClusterServing:
        return serving_of(self._settings)


class SeldonCoreEndpoint:
    """One model. What serves it is read from the cluster each time: others change it, too."""

    def __init__(self, name: str, settings: SeldonCoreSettings, component: Component) -> None:
        self.name = name
        self._settings, self._component = settings, component

    def deploy(self, bundle: BundleReference, golden: Golden) -> ServedVersion:
        """Prove the version in pods of its own, then roll it out, which no request notices."""
        with explained():
            served = self._serving.switch(self.name, _bundle(bundle), _golden(golden))
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
            url = f"{self._address(served)}/v2/models/{self.name}/infer"
            return EndpointState(State.healthy, url, supervision=self._supervision(served))

    def predict(self, frame: pd.DataFrame, role: Role = CHAMPION) -> npt.NDArray[np.float64]:
        """P(severe) of each row, asked over V2 by way of the cluster's API."""
        with explained():
            served = self._serving.served(self.name)
            bundle = served and served.in_role(role)
            if not served or not bundle or served.stopped:
                raise DeploymentError(f"No version of {self.name} serves as {role}.")
            return predict_with(_Asked(self._serving, served, bundle), served.model(bundle), frame)

    def v2_address(self) -> str | None:
        """Where the champion is asked: the address that is set, in a pod its service; elsewhere None."""
        with explained():
            served = self._serving.served(self.name)
        if served is None or served.stopped or not (self._settings.address or is_pod()):
            return None
        return self._address(served)

    def stop(self) -> None:
        """Take away what runs; what is deployed stays known."""
        with explained():
            self._serving.stop(self.name)

    @property
    def _serving(self) -> ClusterServing:
        return serving_of(self._settings)

    def _address(self, served: Served) -> str:
        return self._settings.address.rstrip("/") or self._serving.url(served, served.champion)

    def _looked_at(self, served: Served, bundle: ServedBundle) -> ServedVersion:
        if served.stopped:
            return _served_version(served, bundle, State.stopped)
        fault = self._serving.fault(served, bundle)
        return _served_version(served, bundle, State.failing if fault else State.healthy, fault)

    def _supervision(self, served: Served) -> str:
        """Say who brings pods back, and what somebody has changed since it was applied."""
        if served.stopped:
            return ""
        changed = self._serving.drift(served)
        drift = f"; changed since by others: {', '.join(changed)} (deploy again)" if changed else ""
        return f"Kubernetes brings its pods back (namespace {self._settings.namespace}){drift}"


class _Asked:
    """A version, asked as a model server is."""

    def __init__(self, serving: ClusterServing, served: Served, bundle: ServedBundle) -> None:
        self._serving, self._served, self._bundle = serving, served, bundle

    def metadata(self, name: str) -> dict[str, Any] | None:
        return self._serving.metadata(self._served, self._bundle)

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
