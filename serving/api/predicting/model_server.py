"""Asks the model server, which speaks the Open Inference Protocol (V2)."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from accidents.features import STAGES, feature_names
from accidents.rollout.traffic_split import CHAMPION, Role
from serving.api.errors import ApiError
from serving.api.operations.metrics import MODEL_ERRORS, MODEL_SECONDS
from serving.api.predicting.connections import Connections

_LOG = logging.getLogger(__name__)
_NOT_READY = b"is not ready"  # MLServer answers 400 with this while a model loads, and to /ready with nothing
_SHOWN = 500  # characters of a refusal that go to our log


@dataclass(frozen=True)
class ModelFacts:
    """What the model server says of the model that gave an answer."""

    name: str
    version: str
    stage: str
    threshold: float
    bands: Mapping[str, float]
    synthetic: bool
    digest: str
    role: Role = CHAMPION


@dataclass(frozen=True)
class Scores:
    """The answer for some rows: P(severe) of each.

    If asked, also its contributions by `columns` and what each of the `questions` would change.
    """

    facts: ModelFacts
    probabilities: list[float]
    columns: Sequence[str] = ()
    contributions: Sequence[Sequence[float]] = ()
    questions: Sequence[str] = ()
    changes: Sequence[Sequence[float]] = ()


class ModelServer:
    """One model on one model server; connections are kept.

    Parameters
    ----------
    url : of the server, without /v2.
    name : of the model, as it is registered.
    timeout : seconds for a call, connecting included.
    role : what the version is for.
    served_as : the model's name on the server, where that is another one.
    """

    width = 1  # calls at a time

    def __init__(
        self, url: str, name: str, timeout: float, role: Role = CHAMPION, served_as: str | None = None
    ) -> None:
        self._connections = Connections(f"{url.rstrip('/')}/v2/models/{served_as or name}", timeout)
        self._name, self._role, self._seconds = name, role, MODEL_SECONDS.labels(role)
        self._facts: ModelFacts | None = None
        self._explains: tuple[str, ...] = ()  # the outputs that explain, as far as the model has them
        self._asking: asyncio.Task[ModelFacts] | None = None
        self._refused: str | None = None  # digest of the model that did not fit, where it was known
        self.mismatch: str | None = None  # why the server refused a request of ours, until one succeeds

    def stop(self) -> None:
        """Close the connections."""
        self._connections.close()

    async def facts(self) -> ModelFacts:
        """Return the model that is served, as far as known.

        Raises ApiError if it must be asked and cannot.
        """
        if self._facts is not None:
            return self._facts
        if self._asking is None:  # one asks for all who wait
            self._asking = asyncio.create_task(self.refresh())
            self._asking.add_done_callback(self._asked)
        return await asyncio.shield(self._asking)

    def _asked(self, asking: asyncio.Task[ModelFacts]) -> None:
        self._asking = None
        if not asking.cancelled():
            asking.exception()  # told to who waited; nobody may have

    async def metadata(self) -> Mapping[str, Any] | None:
        """Return what the server says of the model, unchecked.

        None if it does not answer, or not for this model.
        """
        try:
            status, content = await self._connections.ask("GET", "")
            metadata: Mapping[str, Any] | None = orjson.loads(content) if status == 200 else None
        except (OSError, ValueError):
            return None
        return metadata if isinstance(metadata, dict) else None

    async def refresh(self) -> ModelFacts:
        """Read the model's metadata. Raises ApiError for a server that is gone or a model we cannot ask."""
        metadata = self._parsed(await self._ask("GET", ""))
        facts = self._checked(metadata)
        has = [output["name"] for output in metadata.get("outputs", ())]
        self._explains = ("contributions", "questions") if "questions" in has else ("contributions",)
        if facts.digest != self._refused:
            self.mismatch = None  # another model than the one that did not fit
        self._facts = facts
        return facts

    async def check(self) -> ModelFacts:
        """Return the model as it is now. Raises ApiError unless it is loaded and one that we can ask."""
        await self._ask("GET", "/ready")
        facts = await self.refresh()
        if self.mismatch is not None:  # who is told that we are not ready asks for nothing that could show it
            nothing_known = [math.nan] * len(feature_names(facts.stage))
            await self.score(facts.stage, [nothing_known], contributions=True)
        return facts

    async def score(self, stage: str, rows: Sequence[Sequence[float]], contributions: bool) -> Scores:
        """Ask for `rows`, each the features of `stage` in order, NaN for not known.

        Raises
        ------
        ApiError
            model_unavailable where the server is gone or slow, model_mismatch where it refuses the request.
        """
        outputs = ("p_severe", *self._explains) if contributions else ("p_severe",)
        body = _request(feature_names(stage), rows, outputs)
        started = time.perf_counter()
        answer = self._parsed(await self._ask("POST", "/infer", body))
        self._seconds.observe(time.perf_counter() - started)
        return await self._scores(answer, stage, len(rows))

    async def _scores(self, answer: Mapping[str, Any], stage: str, rows: int) -> Scores:
        try:
            if self._facts is None or answer["parameters"]["digest"] != self._facts.digest:
                await self._look_again()  # another model answers: is it one that we can ask?
            facts = self._facts_of(answer, str(answer["model_version"]))
            outputs = {output["name"]: output for output in answer["outputs"]}
            probabilities = outputs["p_severe"]["data"]
            if facts.stage != stage or len(probabilities) != rows:
                raise self._mismatched(f"asked {rows} rows of {stage}, answered for {facts.stage}")
            self.mismatch = None
            if "contributions" not in outputs:
                return Scores(facts, probabilities)
            extras = {
                name: (_columns(outputs[name]), _nested(outputs[name]))
                for name in outputs.keys() - {"p_severe"}
            }
            return Scores(facts, probabilities, *extras["contributions"], *extras.get("questions", ((), ())))
        except (KeyError, TypeError, ValueError) as error:
            raise self._mismatched(f"an answer without {error}") from None

    async def _look_again(self) -> None:
        try:
            await self.refresh()
        except ApiError as error:
            if error.code != "model_unavailable":
                raise
            self._facts = None  # busy with the switch: the answer at hand is good, the next one looks again

    async def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        try:
            status, content = await self._connections.ask(method, path, body)
        except TimeoutError:
            self._count_error("timeout")
            raise unavailable() from None
        except OSError:
            self._count_error("connection")
            self._facts = None  # what comes back may be another model
            raise unavailable() from None
        if status < 300:
            return content
        if status >= 500 or status == 404 or not content or _NOT_READY in content:
            self._count_error("unavailable")
            raise unavailable()
        raise self._mismatched(content[:_SHOWN].decode("utf-8", "replace"))

    def _parsed(self, content: bytes) -> Any:
        try:
            return orjson.loads(content)
        except ValueError:
            raise self._mismatched(f"an answer that is no JSON: {content[:_SHOWN]!r}") from None

    def _mismatched(self, why: str) -> ApiError:
        """Our request and the model do not fit: told to the operator, not to the caller."""
        self._count_error("mismatch")
        _LOG.error("The model server refuses what the API asks of %s: %s", self._name, why)
        self._refused = self._facts.digest if self._facts else None
        self.mismatch, self._facts = why, None  # whatever we believed of the model: ask again
        return ApiError("model_mismatch", "The API and the model do not fit together. Tell the operator.")

    def _checked(self, metadata: Mapping[str, Any]) -> ModelFacts:
        try:
            facts = self._facts_of(metadata, str(next(iter(metadata["versions"]), "")))
            inputs = {tensor["name"] for tensor in metadata["inputs"]}
        except (KeyError, TypeError, ValueError) as error:
            raise self._mismatched(f"metadata without {error}") from None
        if facts.stage not in STAGES or inputs != set(feature_names(facts.stage)):
            raise self._mismatched(f"stage {facts.stage} with features {', '.join(sorted(inputs))}")
        return facts

    def _count_error(self, kind: str) -> None:
        MODEL_ERRORS.labels(kind, self._role).inc()

    def _facts_of(self, answer: Mapping[str, Any], version: str) -> ModelFacts:
        """From the parameters of an answer or of the metadata."""
        parameters = answer["parameters"]
        return ModelFacts(
            name=self._name,
            version=version,
            stage=str(parameters["stage"]),
            threshold=float(parameters["threshold"]),
            bands=json.loads(parameters["bands"]),
            synthetic=bool(parameters["synthetic"]),
            digest=str(parameters["digest"]),
            role=self._role,
        )


def _request(columns: Sequence[str], rows: Sequence[Sequence[float]], outputs: Sequence[str]) -> bytes:
    """Return a V2 request of one tensor; NaN becomes null."""
    tensor = {
        "name": "features",
        "datatype": "FP32",
        "shape": [len(rows), len(columns)],
        "parameters": {"columns": columns},
        "data": [value for row in rows for value in row],
    }
    return orjson.dumps({"inputs": [tensor], "outputs": [{"name": name} for name in outputs]})


def _columns(table: Mapping[str, Any]) -> Sequence[str]:
    columns: Sequence[str] = table["parameters"]["columns"]
    return columns


def _nested(table: Mapping[str, Any]) -> list[Sequence[float]]:
    (rows, width), data = table["shape"], table["data"]
    return [data[row * width : (row + 1) * width] for row in range(rows)]


def unavailable() -> ApiError:
    """Say that the model server is gone or slow."""
    return ApiError("model_unavailable", "The model cannot be asked at the moment. Try again.")
