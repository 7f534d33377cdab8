"""Our own ZenML flavors. `FLAVORS` lists them; `stacks.apply` registers what it lists."""

from typing import NamedTuple


class OwnFlavor(NamedTuple):
    """A flavor of ours, named so that it can be listed without importing ZenML or what it wraps.

    `package` is one that `make train` does not install: without it the flavor is not registered, for ZenML
    imports what it registers.
    """

    type: str
    name: str
    source: str
    package: str = ""


FLAVORS = (
    OwnFlavor(
        type="orchestrator",
        name="airflow_local",
        source="stacks.components.airflow_local.flavor.AirflowLocalFlavor",
    ),
    OwnFlavor(
        type="data_validator",
        name="evidently_modern",
        source="stacks.components.evidently.flavor.EvidentlyModernFlavor",
    ),
    OwnFlavor(
        type="orchestrator",
        name="kubernetes_image",
        source="stacks.components.kubernetes_image.flavor.KubernetesImageFlavor",
        package="kubernetes",
    ),
    OwnFlavor(
        type="orchestrator",
        name="local_image",
        source="stacks.components.local_image.flavor.LocalImageFlavor",
    ),
    OwnFlavor(
        type="model_deployer",
        name="mlserver",
        source="stacks.components.mlserver.flavor.MLServerDeployerFlavor",
    ),
    OwnFlavor(
        type="model_deployer",
        name="seldon_core",
        source="stacks.components.seldon_core.flavor.SeldonCoreDeployerFlavor",
    ),
)
