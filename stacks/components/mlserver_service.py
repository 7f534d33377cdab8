"""A model on the model server, as ZenML's services see it.

This module keeps its name: ZenML's store holds it with every service that was deployed.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import Field
from zenml.enums import ServiceState
from zenml.models.v2.misc.service import ServiceType
from zenml.services import ServiceConfig, ServiceStatus
from zenml.services.service import BaseDeploymentService

from stacks.components.mlserver.config import MLServerDeployerConfig
from stacks.components.mlserver.folder import ServedModel
from stacks.components.mlserver.model import fault_of, predict
from stacks.components.mlserver.server import ModelServer
from stacks.errors import StackError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd


class MLServerDeploymentConfig(ServiceConfig):
    """Which version of which model is served from which bundle, on which server.

    Attributes
    ----------
    bundle, golden : where they are copied from; not kept in ZenML's store, where nobody could read them.
    """

    bundle: str = Field(default="", exclude=True)
    golden: str = Field(default="", exclude=True)
    digest: str
    server: MLServerDeployerConfig


class MLServerService(BaseDeploymentService):
    """One model on the model server: what is served, whether it is healthy, predictions by DataFrame."""

    SERVICE_TYPE = ServiceType(
        name="mlserver-deployment",
        type="model-serving",
        flavor="mlserver",
        description="A model on a local MLServer",
    )

    config: MLServerDeploymentConfig
    status: ServiceStatus = ServiceStatus()

    @property
    def model(self) -> ServedModel:
        """The version this service stands for."""
        return ServedModel(self.config.model_name, self.config.model_version, self.config.digest)

    @property
    def server(self) -> ModelServer:
        """The model server."""
        return ModelServer(self.config.server)

    @property
    def url(self) -> str | None:
        """Address of the model server, or None if it is not running."""
        daemon = self.server.daemon()
        return f"http://127.0.0.1:{daemon.http_port}" if daemon else None

    @property
    def prediction_url(self) -> str | None:
        """Where V2 requests go, or None if the server is not running."""
        url = self.url
        return f"{url}/v2/models/{self.config.model_name}/infer" if url else None

    @property
    def healthcheck_url(self) -> str | None:
        """Answers 200 once the model is ready."""
        url = self.url
        return f"{url}/v2/models/{self.config.model_name}/ready" if url else None

    def get_healthcheck_url(self) -> str | None:
        """As `healthcheck_url`: ZenML would ask an endpoint, which this service has none of."""
        return self.healthcheck_url

    def check_status(self) -> tuple[ServiceState, str]:
        """Whether the process lives and answers with this version; within some seconds."""
        fault = fault_of(self.server, self.model)
        if not fault:
            self.status.clear_error()
            return ServiceState.ACTIVE, ""
        alive = self.server.daemon() is not None and self.config.model_name in self.server.folder.served()
        return ServiceState.ERROR if alive else ServiceState.INACTIVE, fault

    def provision(self) -> None:
        """Serve this version, starting the server if it is not running."""
        self.server.start(self.model)

    def deprovision(self, force: bool = False) -> None:
        """Serve the model no longer; the last one ends the server."""
        self.server.stop(self.config.model_name)

    def predict(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """P(severe) of each row of a frame with the model's features as columns, float64 [n]; NaN is missing.

        Raises StackError if the server is not running, a feature is missing, or a value is refused.
        """
        return predict(self.server, self.config.model_name, frame)

    def get_logs(self, follow: bool = False, tail: int | None = None) -> Generator[str, bool, None]:
        """Yield the server's log, oldest line first; all models of a server share it."""
        if follow:
            raise StackError(f"Following is not offered: {self.server.way.how_to_follow()}")
        lines = list(self.server.way.lines())
        yield from islice(lines, max(0, len(lines) - tail) if tail else 0, None)
