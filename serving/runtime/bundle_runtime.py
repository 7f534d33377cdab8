"""The bundle behind MLServer: checks every request for itself, answers with the version that gave the answer.

    model-settings.json    {"name": ..., "implementation": "serving.runtime.bundle_runtime.BundleRuntime",
                            "parameters": {"uri": FOLDER OF THE BUNDLE, "extra": {"version": "3"}}}

The version goes into `extra`: MLServer orders the versions it knows of by number, so that going back to a
lower one would keep the higher, and it answers 400 while a new one loads. Of a model without a version it
loads the new one beside the old and then switches.

`routes` in `extra` is a file that the metadata tell as it is then: the versions on trial beside this one,
which a share of the requests, or a copy of each, may go to (docs/decisions/0029-routes-from-metadata.md).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from mlserver import MLModel
from mlserver.errors import InferenceError, MLServerError, ModelNotReady
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    Parameters,
    ResponseOutput,
)
from mlserver.utils import get_model_uri

from accidents.errors import AccidentsError
from serving.runtime.predictor import DATATYPE, Output, Predictor
from serving.runtime.tensors import RequestError

_UNPROCESSABLE = 422


class BundleRuntime(MLModel):  # type: ignore[misc]
    """Serves one bundle. Requests and responses are described in docs/serving.md."""

    _predictor: Predictor | None = None

    async def load(self) -> bool:
        """Check that the bundle is the one deployed, load it, and predict once; or refuse it (422)."""
        folder = Path(await get_model_uri(self.settings))
        digest = _extra(self.settings).get("digest")
        try:
            self._predictor = await asyncio.to_thread(Predictor, folder, digest)
        except AccidentsError as error:
            raise MLServerError(str(error), _UNPROCESSABLE) from None
        self.served_version = _version(self.settings)
        return True

    async def unload(self) -> bool:
        """Let go of the bundle; requests on their way keep it until they are answered."""
        if self._predictor is not None:
            self._predictor.close()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """P(severe) of each row; its SHAP values and what to ask if wanted. Raises InferenceError (400)."""
        predictor = self._loaded()
        try:
            outputs = await predictor.answer(payload)
        except RequestError as error:
            raise InferenceError(str(error)) from None
        return InferenceResponse(
            model_name=self.name,
            model_version=self.served_version,
            parameters=Parameters(**predictor.facts),
            outputs=[_output(output) for output in outputs],
        )

    async def metadata(self) -> MetadataModelResponse:
        """Return what the model takes and gives; its version and thresholds.

        Raises ModelNotReady while it loads.
        """
        if not self.ready:
            raise ModelNotReady(self.name)
        metadata = self._loaded().metadata(self.name, self.served_version, _routes(self.settings))
        return MetadataModelResponse.model_validate(metadata)

    def _loaded(self) -> Predictor:
        if self._predictor is None:
            raise ModelNotReady(self.name)
        return self._predictor


def _output(output: Output) -> ResponseOutput:
    return ResponseOutput(
        name=output.name,
        shape=list(output.values.shape),
        datatype=DATATYPE,
        data=output.values.ravel().tolist(),
        parameters=None if output.columns is None else Parameters(columns=output.columns),
    )


def _version(settings: Any) -> str | None:
    version = _extra(settings).get("version") or (settings.parameters and settings.parameters.version)
    return str(version) if version else None


def _extra(settings: Any) -> dict[str, Any]:
    """Return what the deployer wrote into the model's settings: the version, and the digest of its bundle."""
    return (settings.parameters and settings.parameters.extra) or {}


def _routes(settings: Any) -> str:
    """Return a JSON list: of each version on trial its role, its model here, its share; as it is now."""
    file = _extra(settings).get("routes")
    try:
        return Path(file).read_text(encoding="utf-8") if file else "[]"
    except OSError:  # nothing is on trial
        return "[]"
