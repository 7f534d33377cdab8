"""Integrations of ZenML whose libraries are imported when a stack or a step uses them, and not before."""

from zenml.integrations.registry import integration_registry

# Of these ZenML would import materializers of objects that no step of ours gives to another, with all their
# libraries: two seconds of each command. A deployer of theirs is imported with the stack that has it.
LATE = ("bentoml", "lightgbm", "pillow", "scipy", "sklearn")


def import_late() -> None:
    """Keep ZenML from activating them: it does so with all that are installed whenever a pipeline starts."""
    for name in LATE:
        integration_registry.integrations[name].activate = _nothing  # type: ignore[method-assign]


def _nothing() -> None:
    pass
