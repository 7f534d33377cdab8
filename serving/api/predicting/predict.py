"""From accidents to answers: features, the model's score, reasons in words, the log."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from accidents.errors import AccidentsError
from accidents.geography.departments import department_at
from accidents.predictions.prediction_log import Prediction, PredictionLogError
from accidents.scoring.next_question import asking, best
from accidents.scoring.reasons import top_reasons
from accidents.vocabulary.bands import band_of
from serving.api.errors import ApiError
from serving.api.http.fair_computing import Turns
from serving.api.http.validation_errors import Mistakes
from serving.api.operations.metrics import FALLBACKS, LOG_ERRORS
from serving.api.predicting.batching import Batcher, Score
from serving.api.predicting.counting import Counting
from serving.api.predicting.log_writer import LogUnavailable, LogWriter
from serving.api.predicting.model_server import ModelFacts
from serving.api.predicting.model_servers import ModelServers
from serving.api.predicting.rollout import Rollout
from serving.api.predicting.shadow import ShadowQueue
from serving.api.schema.accident import Accident
from serving.api.schema.description import AccidentFeatures, describe

_LOG = logging.getLogger(__name__)
# Accidents of a batch that are scored together: single ones get their turn in between. `waiting` holds them.
_TOGETHER = 50


@dataclass(frozen=True)
class RequestContext:
    """How an answer is wanted, and by whom."""

    request_id: str
    caller: str | None
    reasons: bool
    language: str


class Predictor:
    """Predicts, and has it in the log before it answers."""

    def __init__(
        self,
        server: ModelServers,
        batcher: Batcher,
        writer: LogWriter,
        counting: Counting,
        reasons_count: int,
        rollout: Rollout,
        shadow: ShadowQueue,
    ) -> None:
        self._server, self._batcher, self._writer, self._counting = server, batcher, writer, counting
        self._reasons_count, self._rollout, self._shadow = reasons_count, rollout, shadow

    async def predict(self, accident: Accident, asked: RequestContext) -> dict[str, Any]:
        """Return the answer for one accident (PredictionAnswer). Raises ApiError."""
        facts = await self._server.facts()
        described = describe(accident, facts.stage, department_at)
        prediction, answer = await self._scored(accident, described, facts.stage, asked, asked.request_id)
        await self._write([prediction])
        self._account([prediction])
        return answer

    async def predict_batch(self, given: Sequence[Any], asked: RequestContext) -> list[dict[str, Any]]:
        """Return an answer for each accident, or in its place what is wrong with it. Raises ApiError.

        All predictions go to the log in one transaction, so either all are answered or none is.
        """
        facts = await self._server.facts()
        answers: list[dict[str, Any]] = []
        predictions: list[Prediction] = []
        mistakes, turns = Mistakes(), Turns()
        for start in range(0, len(given), _TOGETHER):
            checked = []
            for accident in given[start : start + _TOGETHER]:
                checked.append(_checked(accident, facts.stage, mistakes))
                await turns.next()
            for outcome in await asyncio.gather(
                *(self._one_of(accident, facts.stage, asked) for accident in checked)
            ):
                if isinstance(outcome, ApiError):
                    answers.append(outcome.content(asked.request_id))
                else:
                    predictions.append(outcome[0])
                    answers.append(outcome[1])
        await self._write(predictions)
        self._account(predictions)
        return answers

    async def _one_of(
        self, checked: tuple[Accident, AccidentFeatures] | ApiError, stage: str, asked: RequestContext
    ) -> tuple[Prediction, dict[str, Any]] | ApiError:
        if isinstance(checked, ApiError):
            return checked
        return await self._scored(*checked, stage, asked, uuid4().hex, patient=True)

    async def _scored(
        self,
        accident: Accident,
        described: AccidentFeatures,
        stage: str,
        asked: RequestContext,
        request_id: str,
        patient: bool = False,
    ) -> tuple[Prediction, dict[str, Any]]:
        row = list(described.features.values())
        if self._rollout.challenger is None:
            score = await self._batcher.score(row, stage, asked.reasons, patient)
        else:
            identity = _identity(accident, request_id)
            score = await self._score_on_trial(identity, row, stage, asked.reasons, patient)
        prediction = _prediction(request_id, accident, described, score, asked.caller)
        reasons = self._reasons(described, score, asked.language) if asked.reasons else []
        ask = _ask(score, asked.language) if asked.reasons else None
        return prediction, _answer(prediction, score.facts, reasons, ask, described.notes)

    async def _score_on_trial(
        self, identity: str, row: Sequence[float], stage: str, contributions: bool, patient: bool
    ) -> Score:
        """Return the challenger's answer if the accident is its own and it has one; else the champion's.

        One that fails is asked no more until the next look. That too much is asked of it at once is no such
        failure: where the champion has as much to do it refuses too, and nothing is logged that would count.
        """
        challenger = self._rollout.challenger_for(identity)
        if challenger is not None:
            try:
                return await challenger.score(row, stage, contributions, patient)
            except ApiError as error:
                FALLBACKS.inc()
                if error.code != "busy":  # of a flood there would be a line for each accident
                    _LOG.warning("The challenger did not answer, the champion does: %s", error.message)
                    self._rollout.drop_challenger()
        return await self._batcher.score(row, stage, contributions, patient)

    def _reasons(self, described: AccidentFeatures, score: Score, language: str) -> list[dict[str, Any]]:
        reasons = top_reasons(
            described.features, score.columns, score.contributions, self._reasons_count, language
        )
        return [reason.to_dict() for reason in reasons]

    def _account(self, predictions: Sequence[Prediction]) -> None:
        """Count what is about to be answered, and leave a copy for the shadow."""
        self._counting.add(predictions)
        if self._rollout.shadow is not None:
            self._shadow.put(predictions)

    async def _write(self, predictions: Sequence[Prediction]) -> None:
        try:
            await self._writer.add_many(predictions)
        except (LogUnavailable, PredictionLogError) as error:
            raise _log_unavailable(error) from None


def _checked(given: Any, stage: str, mistakes: Mistakes) -> tuple[Accident, AccidentFeatures] | ApiError:
    """Return an accident of a batch and what it is described as, or what is wrong with it."""
    try:
        accident = Accident.model_validate(given)
        return accident, describe(accident, stage, department_at)
    except ValidationError as error:
        return mistakes.of(Accident, error)
    except ApiError as error:
        return error


def _identity(accident: Accident, request_id: str) -> str:
    """Return what keeps an accident with one version: its id, or that of the form it is filled in with."""
    return accident.accident_id or accident.session or request_id


def _prediction(
    request_id: str, given: Accident, described: AccidentFeatures, score: Score, caller: str | None
) -> Prediction:
    facts, probability = score.facts, score.probability
    return Prediction(
        request_id=request_id,
        accident_id=given.accident_id,
        created=datetime.now(UTC),
        stage=facts.stage,
        model_name=facts.name,
        model_version=facts.version,
        model_digest=facts.digest,
        probability=probability,
        band=band_of(probability, facts.bands),
        alert=probability >= facts.threshold,
        accident=described.accident,
        features={name: None if math.isnan(v) else v for name, v in described.features.items()},
        key_name=caller,
        session=given.session,
        role=facts.role,
    )


def _ask(score: Score, language: str) -> dict[str, Any] | None:
    """Return what would help most to know (AskAnswer), if anything would."""
    question = best(score.questions, score.changes)
    if question is None:
        return None
    name, change = question
    return {"feature": name, "change": change, "text": asking(name, change, language)}


def _answer(
    prediction: Prediction,
    facts: ModelFacts,
    reasons: list[dict[str, Any]],
    ask: dict[str, Any] | None,
    notes: list[str],
) -> dict[str, Any]:
    return {
        "request_id": prediction.request_id,
        "accident_id": prediction.accident_id,
        "probability": prediction.probability,
        "band": prediction.band,
        "alert": prediction.alert,
        "threshold": facts.threshold,
        "reasons": reasons,
        "ask": ask,
        "model": model_of(facts),
        "notes": notes,
    }


def model_of(facts: ModelFacts) -> dict[str, Any]:
    """Which model it is (ModelAnswer)."""
    return {
        "name": facts.name,
        "version": facts.version,
        "role": facts.role,
        "stage": facts.stage,
        "synthetic": facts.synthetic,
    }


def _log_unavailable(error: AccidentsError) -> ApiError:
    LOG_ERRORS.inc()
    _LOG.error("%s", error)
    return ApiError("log_unavailable", "The prediction cannot be logged at the moment. Try again.")
