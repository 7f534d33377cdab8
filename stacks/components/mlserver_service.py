"""Services that were registered before version 0.6 name this module in ZenML's store."""

from stacks.components.mlserver.service import MLServerDeploymentConfig, MLServerService

__all__ = ["MLServerDeploymentConfig", "MLServerService"]
