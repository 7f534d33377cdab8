"""What is known of a served model, whatever serves it: an `Endpoint` a model, `Endpoints` a stack."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from accidents.errors import AccidentsError
from accidents.rollout.traffic_split import CHAMPION, Role

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from accidents.bundle.golden import Golden


class DeploymentError(AccidentsError):
    """The stack cannot deploy, or the new version was refused; what served before still serves."""


class State(StrEnum):
    """How a version, or an endpoint as a whole, is."""

    healthy = "healthy"
    failing = "failing"  # it should serve and does not
    stopped = "stopped"  # by a person: it stays so until it is deployed again


@dataclass(frozen=True)
class BundleReference:
    """A registered version, and where its bundle is: an adapter that needs the files fetches them.

    Attributes
    ----------
    digest : that the bundle must have.
    uri : of the folder of its files, in an artifact store.
    registry_version : the number that the stack's model registry has for it; None where there is none.
    """

    name: str
    version: str
    digest: str
    uri: str
    registry_version: str | None = None


@dataclass(frozen=True)
class ServedVersion:
    """A version at an endpoint.

    Attributes
    ----------
    digest : of its bundle; None where the deployer does not know it.
    role : `champion` answers, `challenger` answers its share, `shadow` is asked and never answers.
    share : percent of the requests that it answers.
    model : the name it is asked by at the V2 address.
    reason : why it does not serve; empty where it does.
    """

    version: str
    digest: str | None
    role: Role
    share: int
    state: State
    model: str
    reason: str = ""


@dataclass(frozen=True)
class EndpointState:
    """How an endpoint is.

    Attributes
    ----------
    state : of the champion; `stopped` also where nothing was ever deployed.
    url : where the champion is asked, in its deployer's own protocol; None where it does not run.
    reason : why it is not healthy; empty where it is.
    supervision : who brings its server back; empty where the deployer does not tell.
    """

    state: State
    url: str | None = None
    reason: str = ""
    supervision: str = ""


class Predictor(Protocol):
    """P(severe) of each row of a frame, float64 [n]."""

    def __call__(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Ask the server."""
        ...


class Endpoint(Protocol):
    """One model, served by a stack's model deployer. Whatever fails raises DeploymentError."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def no_trials(self) -> str:
        """Why no version can be on trial beside the champion, in words; empty where one can."""
        ...

    def deploy(self, bundle: BundleReference, golden: Golden) -> ServedVersion:
        """Serve a version as champion, once it has given the golden answers; else the old one serves on."""
        ...

    def try_out(self, bundle: BundleReference, golden: Golden, role: Role, share: int) -> ServedVersion:
        """Serve a version beside the champion, once it has given the golden answers; else all is as it was.

        It takes the place of another one in this role; a version has one role.

        Parameters
        ----------
        role : challenger or shadow.
        share : percent of the requests that a challenger answers, 1 to 99; 0 for a shadow.
        """
        ...

    def end_trials(self) -> tuple[ServedVersion, ...]:
        """Have the champion answer everything; return what was beside it. `deploy` does so, too."""
        ...

    def versions(self) -> tuple[ServedVersion, ...]:
        """Return what is deployed, running or not, the champion first; empty where nothing is."""
        ...

    def state(self) -> EndpointState:
        """Whether it answers, asked now."""
        ...

    def predict(self, frame: pd.DataFrame, role: Role = CHAMPION) -> npt.NDArray[np.float64]:
        """P(severe) of each row by the version in a role, float64 [n].

        Parameters
        ----------
        frame : the model's features as columns; NaN is not known.
        """
        ...

    def predictor(self, role: Role = CHAMPION) -> Predictor:
        """Return what predicts as `predict` does, with all looked up that is not the server's work."""
        ...

    def v2_address(self) -> str | None:
        """Where the Open Inference Protocol is spoken; None where the server does not run, or speak it."""
        ...

    def stop(self) -> None:
        """Serve no longer; what was deployed stays known."""
        ...


class Endpoints(Protocol):
    """The endpoints of one model deployer: what an adapter implements."""

    flavor: str

    @property
    def on_this_machine(self) -> bool:
        """Whether what serves them runs on this machine, not in a cluster."""
        ...

    def names(self) -> list[str]:
        """Models that are deployed with it, running or not."""
        ...

    def endpoint(self, name: str) -> Endpoint:
        """Return the endpoint of a model, also of one that was never deployed."""
        ...
