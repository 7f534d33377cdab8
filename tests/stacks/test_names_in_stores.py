"""What ZenML's store holds by the name of its module: renamed, what earlier versions left cannot be read."""

import pytest
from zenml.utils import source_utils
from zenml.utils.source_utils import resolve

from stacks.components.mlserver_service import MLServerDeploymentConfig, MLServerService
from tests.conftest import ROOT


def test_services_keep_the_name_that_every_store_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_utils, "_CUSTOM_SOURCE_ROOT", str(ROOT))
    assert resolve(MLServerService).import_path == "stacks.components.mlserver_service.MLServerService"
    written = MLServerDeploymentConfig.model_fields["type"].default
    assert written == "stacks.components.mlserver_service.MLServerDeploymentConfig"
