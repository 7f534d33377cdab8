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
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.errors import InferenceError, MLServerError, ModelNotReady
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataTensor,
    Parameters,
    RequestOutput,
    ResponseOutput,
)
from mlserver.utils import get_model_uri

from accidents.bundle import Bundle, load_bundle
from accidents.errors import AccidentsError, BundleError
from serving.runtime.tensors import RequestError, TensorReader

PROBABILITY, CONTRIBUTIONS, QUESTIONS = "p_severe", "contributions", "questions"
_OUTPUTS = (PROBABILITY, CONTRIBUTIONS, QUESTIONS)
_INLINE_ROWS = 32  # more are scored in a thread, so that single ones need not wait for them
_UNPROCESSABLE = 422
_ID_LENGTH = 200


class BundleRuntime(MLModel):  # type: ignore[misc]
    """Serves one bundle. Requests and responses are described in docs/serving.md."""

    async def load(self) -> bool:
        """Check that the bundle is the one deployed, load it, and predict once; or refuse it (422)."""
        folder = Path(await get_model_uri(self.settings))
        try:
            self._bundle, declarations, self._facts = await asyncio.to_thread(
                _load, folder, _extra(self.settings).get("digest")
            )
        except AccidentsError as error:
            raise MLServerError(str(error), _UNPROCESSABLE) from None
        self.served_version = _version(self.settings)
        self._reader = TensorReader(declarations)
        self._columns = Parameters(columns=list(self._bundle.model.columns))
        self._questions = Parameters(columns=self._bundle.questions.names)
        self._many = ThreadPoolExecutor(1, thread_name_prefix="many-rows")
        return True

    async def unload(self) -> bool:
        """Let go of the thread; requests on their way keep the bundle until they are answered."""
        if hasattr(self, "_many"):
            self._many.shutdown(wait=False)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """P(severe) of each row; its SHAP values and what to ask if wanted. Raises InferenceError (400)."""
        _check_id(payload.id)
        wanted = _wanted(payload.outputs)
        nan_is_missing = getattr(payload.parameters, "missing", None) == "nan"
        try:
            matrix = self._reader.read(payload.inputs, nan_is_missing)
        except RequestError as error:
            raise InferenceError(str(error)) from None
        if len(matrix) <= _INLINE_ROWS:
            outputs = self._outputs(wanted, matrix)
        else:
            outputs = await asyncio.get_running_loop().run_in_executor(
                self._many, self._outputs, wanted, matrix
            )
        return InferenceResponse(
            model_name=self.name,
            model_version=self.served_version,
            parameters=Parameters(**self._facts),
            outputs=outputs,
        )

    async def metadata(self) -> MetadataModelResponse:
        """What the model takes and gives; its version and thresholds. Raises ModelNotReady while it loads."""
        if not self.ready:
            raise ModelNotReady(self.name)
        columns = Parameters(columns=json.dumps(self._bundle.model.columns))
        width = len(self._bundle.model.columns) + 1
        names = self._bundle.questions.names
        questions = Parameters(columns=json.dumps(names))
        return MetadataModelResponse(
            name=self.name,
            versions=[self.served_version] if self.served_version else [],
            platform="accidents-bundle",
            inputs=[MetadataTensor(name=name, datatype="FP32", shape=[-1]) for name in self._reader.features],
            outputs=[
                MetadataTensor(name=PROBABILITY, datatype="FP64", shape=[-1]),
                MetadataTensor(name=CONTRIBUTIONS, datatype="FP64", shape=[-1, width], parameters=columns),
                MetadataTensor(name=QUESTIONS, datatype="FP64", shape=[-1, len(names)], parameters=questions),
            ],
            parameters=Parameters(**self._facts, routes=_routes(self.settings)),
        )

    def _outputs(self, wanted: list[str], matrix: np.ndarray[Any, Any]) -> list[ResponseOutput]:
        made: dict[str, ResponseOutput] = {}
        if CONTRIBUTIONS in wanted:  # one walk through the trees gives both
            probabilities, contributions = self._bundle.model.explain(matrix)
            made[CONTRIBUTIONS] = _output(CONTRIBUTIONS, contributions, self._columns)
        else:
            probabilities = self._bundle.predict(matrix)
        if QUESTIONS in wanted:
            changes = self._bundle.questions.changes(self._bundle.model.predict_many, matrix)
            made[QUESTIONS] = _output(QUESTIONS, changes, self._questions)
        made[PROBABILITY] = _output(PROBABILITY, probabilities)
        return [made[name] for name in wanted]


def _output(name: str, values: np.ndarray[Any, Any], parameters: Parameters | None = None) -> ResponseOutput:
    return ResponseOutput(
        name=name,
        shape=list(values.shape),
        datatype="FP64",
        data=values.ravel().tolist(),
        parameters=parameters,
    )


def _load(folder: Path, digest: str | None) -> tuple[Bundle, list[dict[str, Any]], dict[str, Any]]:
    """The bundle, its declarations and what answers say of it, once it has shown that it predicts."""
    bundle = load_bundle(folder, digest)
    unknown = np.full((1, len(bundle.features)), np.nan, dtype=np.float32)
    known = bundle.questions.changes(bundle.model.predict_many, unknown)
    for values in (bundle.predict(unknown), bundle.model.contributions(unknown), known):
        if not np.isfinite(values).all():
            raise BundleError(
                f"{folder}: the model gives no number for an accident of which nothing is known."
            )
    declarations = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    try:
        return bundle, declarations, _facts(bundle)
    except KeyError as error:
        raise BundleError(f"{folder / 'bundle.json'} does not say {error}. Train again.") from None


def _version(settings: Any) -> str | None:
    version = _extra(settings).get("version") or (settings.parameters and settings.parameters.version)
    return str(version) if version else None


def _extra(settings: Any) -> dict[str, Any]:
    """What the deployer wrote into the model's settings: the version, and the digest of its bundle."""
    return (settings.parameters and settings.parameters.extra) or {}


def _routes(settings: Any) -> str:
    """A JSON list: of each version on trial its role, its model here, its share; as it is now."""
    file = _extra(settings).get("routes")
    try:
        return Path(file).read_text(encoding="utf-8") if file else "[]"
    except OSError:  # nothing is on trial
        return "[]"


def _facts(bundle: Bundle) -> dict[str, Any]:
    return {
        "stage": bundle.stage,
        "threshold": bundle.threshold,
        "bands": json.dumps(dict(bundle.bands)),
        "budget": float(bundle.facts["budget"]),
        "digest": bundle.digest,
        "synthetic": bool(bundle.facts["synthetic"]),
    }


def _check_id(request: str | None) -> None:
    """MLServer puts the id into a header of its answer, where other characters are a 500 or worse."""
    if request and not (request.isascii() and request.isprintable() and len(request) <= _ID_LENGTH):
        raise InferenceError(f"The id of a request is at most {_ID_LENGTH} printable ASCII characters.")


def _wanted(outputs: list[RequestOutput] | None) -> list[str]:
    names = [output.name for output in outputs or ()] or [PROBABILITY]
    for name in names:
        if name not in _OUTPUTS:
            raise InferenceError(f"Output {name[:60]!r} is unknown. There are: {', '.join(_OUTPUTS)}.")
    if len(set(names)) < len(names):
        raise InferenceError("An output is asked for twice: ask for each once.")
    return names
