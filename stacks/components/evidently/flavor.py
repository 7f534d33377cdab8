"""The `evidently_modern` data validator flavor: where its settings and its implementation are."""

from __future__ import annotations

from zenml.data_validators.base_data_validator import BaseDataValidator, BaseDataValidatorFlavor

from stacks.components.evidently.config import EvidentlyModernConfig


class EvidentlyModernFlavor(BaseDataValidatorFlavor):
    """Evidently's current API. ZenML's own `evidently` flavor is built on `evidently.legacy`."""

    @property
    def name(self) -> str:
        """The name a stack file uses."""
        return "evidently_modern"

    @property
    def display_name(self) -> str:
        """The name the dashboard shows."""
        return "Evidently (current API)"

    @property
    def config_class(self) -> type[EvidentlyModernConfig]:
        """Settings of the component."""
        return EvidentlyModernConfig

    @property
    def implementation_class(self) -> type[BaseDataValidator]:
        """The validator. Importing it does not import Evidently, which takes seconds; using it does."""
        from stacks.components.evidently.validator import EvidentlyModernValidator

        return EvidentlyModernValidator
