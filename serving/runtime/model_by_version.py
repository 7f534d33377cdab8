"""Models by name and version, as V2 lets clients ask; MLServer knows of no version (bundle_runtime.py)."""

from __future__ import annotations

import os
from http import HTTPStatus

from mlserver import MLModel
from mlserver.errors import MLServerError
from mlserver.registry import MultiModelRegistry

ALIAS = "MODEL_SERVER_ALIAS"


class VersionedModels(MultiModelRegistry):  # type: ignore[misc]
    """Finds a model under the version that its answers name, and under none.

    And under another name, if $MODEL_SERVER_ALIAS says so (NAME=MODEL): a mesh that shares requests out has
    callers of the champion's name come to a pod that has the challenger alone.
    """

    async def get_model(self, name: str, version: str | None = None) -> MLModel:
        """Return the model. Raises MLServerError (404) for another version, naming the one there is."""
        alias, _, own = os.environ.get(ALIAS, "").partition("=")
        model = await super().get_model(own if own and name == alias else name)
        served = getattr(model, "served_version", None)
        if version and version != served:
            there = "it is served without a version" if served is None else f"version {served} is served"
            raise MLServerError(
                f"Model {name} has no version {version[:60]!r}: {there}.", HTTPStatus.NOT_FOUND
            )
        return model
