"""The `mlserver` model deployer flavor: its settings, and where its implementation is."""

from __future__ import annotations

from pydantic import ConfigDict, Field
from zenml.model_deployers.base_model_deployer import (
    BaseModelDeployer,
    BaseModelDeployerConfig,
    BaseModelDeployerFlavor,
)


class MLServerDeployerConfig(BaseModelDeployerConfig):
    """One model server on this machine: where it keeps its things, where it listens, how long it may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str = Field(description="Where the server keeps models, code, state and log.")
    lock: str = Field(description="Lock file (with hashes) of the environment the server runs in.")
    code: str = Field(description="Folder with accidents/ and serving/, which the server gets a copy of.")
    environments: str = Field(default="", description="Where environments are built; by default in folder.")
    http_port: int = Field(default=8085, ge=0, le=65535, description="V2 over REST; 0 is any free port.")
    grpc_port: int = Field(default=8086, ge=0, le=65535, description="V2 over gRPC; 0 is any free port.")
    metrics_port: int = Field(default=8087, ge=0, le=65535, description="Prometheus; 0 is any free port.")
    start_timeout: float = Field(default=60, gt=0, description="Seconds the server may take to start.")
    load_timeout: float = Field(default=120, gt=0, description="Seconds a model may take to load.")
    stop_timeout: float = Field(default=15, gt=0, description="Seconds the server has to finish requests.")

    @property
    def is_local(self) -> bool:
        """The server runs on this machine."""
        return True


class MLServerDeployerFlavor(BaseModelDeployerFlavor):
    """MLServer as a daemon of this machine, in an environment of its own."""

    @property
    def name(self) -> str:
        """The name a stack file uses."""
        return "mlserver"

    @property
    def display_name(self) -> str:
        """The name the dashboard shows."""
        return "MLServer (local daemon)"

    @property
    def config_class(self) -> type[MLServerDeployerConfig]:
        """Settings of the component."""
        return MLServerDeployerConfig

    @property
    def implementation_class(self) -> type[BaseModelDeployer]:
        """The deployer."""
        from stacks.components.mlserver_deployer import MLServerDeployer

        return MLServerDeployer
