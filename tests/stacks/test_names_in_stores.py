"""What ZenML's store holds by the name of its module: renamed, what earlier versions left cannot be read."""

from zenml.utils.source_utils import resolve

from stacks.components.mlserver_service import MLServerDeploymentConfig, MLServerService


def test_services_keep_the_name_that_every_store_holds() -> None:
    assert resolve(MLServerService).import_path == "stacks.components.mlserver_service.MLServerService"
    written = MLServerDeploymentConfig.model_fields["type"].default
    assert written == "stacks.components.mlserver_service.MLServerDeploymentConfig"
