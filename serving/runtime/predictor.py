"""A bundle that answers V2 requests, whatever server they come to: checks every one, says who answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from accidents.bundle import Bundle, load_bundle
from accidents.errors import BundleError
from serving.runtime.tensors import Doubles, Floats, RequestError, Tensor, TensorReader

PROBABILITY, CONTRIBUTIONS, QUESTIONS = "p_severe", "contributions", "questions"
DATATYPE = "FP64"  # of every output
_OUTPUTS = (PROBABILITY, CONTRIBUTIONS, QUESTIONS)
_INLINE_ROWS = 32  # more are scored in a thread, so that single ones need not wait for them
_ID_LENGTH = 200


class Named(Protocol):
    """An output that a request asks for."""

    name: str


class Request(Protocol):
    """A V2 request, as the server's own types have it."""

    id: str | None
    parameters: Any

    @property
    def inputs(self) -> Sequence[Tensor]:
        """The features."""
        ...

    @property
    def outputs(self) -> Sequence[Named] | None:
        """What is to be answered; None: p_severe."""
        ...


class Output(NamedTuple):
    """One output: its values [rows] or [rows, columns], and what the columns are."""

    name: str
    values: Doubles
    columns: list[str] | None = None


class Predictor:
    """Answers with one bundle, once that has shown that it predicts.

    Parameters
    ----------
    folder : of the bundle.
    digest : that it must have; None: any.

    Raises
    ------
    BundleError
        It is not whole, not the one that was meant, or gives no numbers.

    Attributes
    ----------
    facts : what answers say of the model.
    """

    def __init__(self, folder: Path, digest: str | None = None) -> None:
        self._bundle = load_bundle(folder, digest)
        _require_numbers(self._bundle, folder)
        declarations = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        self._reader = TensorReader(declarations)
        self.facts = _facts(self._bundle, folder)
        self._columns = list(self._bundle.model.columns)
        self._questions = self._bundle.questions.names
        self._many = ThreadPoolExecutor(1, thread_name_prefix="many-rows")

    @property
    def features(self) -> tuple[str, ...]:
        """What a request has to say of each accident."""
        return self._reader.features

    @property
    def name(self) -> str:
        """The name that the bundle has for its model."""
        return str(self._bundle.facts["name"])

    def close(self) -> None:
        """Let go of the thread; requests on their way keep the bundle until they are answered."""
        self._many.shutdown(wait=False)

    async def answer(self, request: Request) -> list[Output]:
        """P(severe) of each row; its SHAP values and what to ask if wanted. Raises RequestError."""
        wanted, matrix = self._read(request)
        if len(matrix) <= _INLINE_ROWS:
            return self._outputs(wanted, matrix)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._many, self._outputs, wanted, matrix)

    def answer_here(self, request: Request) -> list[Output]:
        """Return the same, of a server without an event loop; for one thread at a time."""
        return self._outputs(*self._read(request))

    def metadata(self, name: str, version: str | None, routes: str = "[]") -> dict[str, Any]:
        """Return what the model takes and gives, as V2 tells it; its version and thresholds.

        Parameters
        ----------
        routes : a JSON list of the versions on trial beside this one.
        """
        columns, questions = self._columns, self._questions
        return {
            "name": name,
            "versions": [version] if version else [],
            "platform": "accidents-bundle",
            "inputs": [{"name": feature, "datatype": "FP32", "shape": [-1]} for feature in self.features],
            "outputs": [
                _described(PROBABILITY),
                _described(CONTRIBUTIONS, len(columns) + 1, columns),
                _described(QUESTIONS, len(questions), questions),
            ],
            "parameters": {**self.facts, "routes": routes},
        }

    def _read(self, request: Request) -> tuple[list[str], Floats]:
        _check_id(request.id)
        wanted = _wanted(request.outputs)
        nan_is_missing = getattr(request.parameters, "missing", None) == "nan"
        return wanted, self._reader.read(request.inputs, nan_is_missing)

    def _outputs(self, wanted: Sequence[str], matrix: Floats) -> list[Output]:
        made: dict[str, Output] = {}
        if CONTRIBUTIONS in wanted:  # one walk through the trees gives both
            probabilities, contributions = self._bundle.model.explain(matrix)
            made[CONTRIBUTIONS] = Output(CONTRIBUTIONS, contributions, self._columns)
        else:
            probabilities = self._bundle.predict(matrix)
        if QUESTIONS in wanted:
            changes = self._bundle.questions.changes(self._bundle.model.predict_many, matrix)
            made[QUESTIONS] = Output(QUESTIONS, changes, self._questions)
        made[PROBABILITY] = Output(PROBABILITY, probabilities)
        return [made[name] for name in wanted]


def _described(name: str, width: int | None = None, columns: Sequence[str] = ()) -> dict[str, Any]:
    """Return an output in the metadata, where columns are text: gRPC's parameters hold no list."""
    if width is None:
        return {"name": name, "datatype": DATATYPE, "shape": [-1]}
    parameters = {"columns": json.dumps(list(columns))}
    return {"name": name, "datatype": DATATYPE, "shape": [-1, width], "parameters": parameters}


def _require_numbers(bundle: Bundle, folder: Path) -> None:
    """Have it predict once, which also compiles what it predicts with."""
    unknown = np.full((1, len(bundle.features)), np.nan, dtype=np.float32)
    known = bundle.questions.changes(bundle.model.predict_many, unknown)
    for values in (bundle.predict(unknown), bundle.model.contributions(unknown), known):
        if not np.isfinite(values).all():
            raise BundleError(
                f"{folder}: the model gives no number for an accident of which nothing is known."
            )


def _facts(bundle: Bundle, folder: Path) -> Mapping[str, Any]:
    try:
        return {
            "stage": bundle.stage,
            "threshold": bundle.threshold,
            "bands": json.dumps(dict(bundle.bands)),
            "budget": float(bundle.facts["budget"]),
            "digest": bundle.digest,
            "synthetic": bool(bundle.facts["synthetic"]),
        }
    except KeyError as error:
        raise BundleError(f"{folder / 'bundle.json'} does not say {error}. Train again.") from None


def _check_id(request: str | None) -> None:
    """MLServer puts the id into a header of its answer, where other characters are a 500 or worse."""
    if request and not (request.isascii() and request.isprintable() and len(request) <= _ID_LENGTH):
        raise RequestError(f"The id of a request is at most {_ID_LENGTH} printable ASCII characters.")


def _wanted(outputs: Sequence[Named] | None) -> list[str]:
    names = [output.name for output in outputs or ()] or [PROBABILITY]
    for name in names:
        if name not in _OUTPUTS:
            raise RequestError(f"Output {name[:60]!r} is unknown. There are: {', '.join(_OUTPUTS)}.")
    if len(set(names)) < len(names):
        raise RequestError("An output is asked for twice: ask for each once.")
    return names
