"""ZenML's service of a Bento, made to start one of BentoML 1.4.

ZenML 0.98 takes every service of BentoML from 1.4 on for one of the kind before 1.2 (it asks
`isinstance(service, bentoml.Service)`, which is the new kind's name since), and ends with an AttributeError.

This module keeps its name: ZenML's store holds it with every service that was deployed.
"""

from __future__ import annotations

from uuid import UUID

from zenml.integrations.bentoml.model_deployers import BentoMLModelDeployer
from zenml.integrations.bentoml.services import BentoMLLocalDeploymentConfig, BentoMLLocalDeploymentService
from zenml.services.service import BaseService, ServiceConfig


class BentoService(BentoMLLocalDeploymentService):
    """A Bento, served by BentoML's arbiter and worker in a daemon of ZenML's."""

    def run(self) -> None:
        """Serve until told to stop: in the daemon."""
        from _bentoml_impl.loader import load
        from _bentoml_impl.server import serve_http

        from stacks.components.bentoml.shared_socket import share_ports

        config = self.config
        load(config.bento_tag, config.working_dir).inject_config()
        share_ports()
        serve_http(
            config.bento_tag,
            working_dir=config.working_dir,
            host=config.host,
            port=config.port,
            backlog=config.backlog,
        )


class BentoDeployer(BentoMLModelDeployer):
    """ZenML's deployer, but for the class of its services."""

    def _create_new_service(self, id: UUID, timeout: int, config: ServiceConfig) -> BaseService:
        assert isinstance(config, BentoMLLocalDeploymentConfig)
        config.root_runtime_path = self.local_path
        service = BentoService(uuid=id, config=config)  # type: ignore[call-arg]  # it makes its endpoint
        service.start(timeout=timeout)
        # At this one the version before may still listen, so ZenML has looked for another.
        service.endpoint.status.port = config.port
        return service


def with_current_bentoml(deployer: BentoMLModelDeployer) -> BentoDeployer:
    """Return a deployer of ZenML's as one of ours: the same component, of the same flavor."""
    return BentoDeployer(
        name=deployer.name,
        id=deployer.id,
        config=deployer.config,
        flavor=deployer.flavor,
        type=deployer.type,
        user=deployer.user,
        created=deployer.created,
        updated=deployer.updated,
    )
