"""The routes; what they do is in the package serving/api/predicting."""

from __future__ import annotations

import asyncio
from inspect import get_annotations
from typing import Annotated, Any, Literal, TypeVar

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from accidents.vocabulary.words import words
from serving.api.errors import ApiError
from serving.api.http.limits import read_json
from serving.api.http.openapi import body_of, errors, query_of
from serving.api.http.query import Options, options_of
from serving.api.http.validation_errors import Mistakes
from serving.api.operations.hooks import Notification
from serving.api.operations.metrics import exposition
from serving.api.predicting.predict import RequestContext
from serving.api.schema import answers
from serving.api.schema.accident import MAX_BATCH, Accident, Batch, Outcomes
from serving.api.wiring import Parts

router = APIRouter()
Language = Annotated[Literal["en", "fr"], Query(description="Language of the words.")]
B = TypeVar("B", bound=BaseModel)
_CHARGED = 1_000  # bytes of a body that count as an accident
_REFUSED = errors(400, 401, 403, 408, 413, 415, 422, 429, 500, 503)  # what a POST may be answered instead


@router.post(
    "/predict",
    tags=["predictions"],
    summary="Predict one accident",
    response_model=answers.PredictionAnswer,
    responses=_REFUSED,
    openapi_extra=body_of(Accident) | query_of(Options),
)
async def predict(request: Request) -> Response:
    """How likely it is that someone is killed or hospitalised in an accident with injuries.

    Only `time` and `place` are needed. What is left out, or `null`, is "not known". The prediction is in the
    log before this answers. Fields a model of the served stage cannot use are named in `notes`.
    """
    parts = _parts(request)
    accident = parsed(Accident, await _body(request))
    return _json(await parts.predictor.predict(accident, _asked(request)))


@router.post(
    "/predict/batch",
    tags=["predictions"],
    summary="Predict up to 1,000 accidents",
    response_model=answers.BatchAnswer,
    responses=_REFUSED,
    openapi_extra=body_of(Batch) | query_of(Options),
)
async def predict_batch(request: Request) -> Response:
    """Return an entry for each accident, in order: its prediction, or `error` with what is wrong with it.

    A wrong accident does not keep the others from being predicted: the status is 200 then too. The whole
    request is refused (422) if it is no list of 1 to 1,000 accidents. Each prediction has a `request_id` of
    its own.
    """
    parts = _parts(request)
    body = await _body(request)
    accidents = _accidents(body)
    await parts.charge(request, len(accidents), _counted(body))
    entries = await parts.predictor.predict_batch(accidents, _asked(request))
    return _json({"predictions": entries})


@router.post(
    "/labels",
    tags=["outcomes"],
    summary="Tell what became of accidents",
    response_model=answers.LabelsAnswer,
    responses=_REFUSED,
    openapi_extra=body_of(Outcomes),
)
async def labels(request: Request) -> Response:
    """Outcomes, often months later, by the `request_id` of a prediction or by your `accident_id`.

    An `accident_id` is your own one; if you never predicted under it, that of the caller who did so first.
    Sending an outcome again changes nothing (`unchanged`); a different one counts instead (`corrected`), if
    the one before was yours or your key may correct others' (else `refused`).
    """
    parts = _parts(request)
    body = await _body(request)
    outcomes = parsed(Outcomes, body).labels
    await parts.rates.charge_labels(request.state.charged, len(outcomes))
    statuses = await parts.labeller.label(outcomes, request.state.caller, request.state.corrects)
    return _json({"results": [{"status": status} for status in statuses]})


@router.post(
    "/hooks/alert",
    status_code=202,
    tags=["hooks"],
    summary="Take alerts from Alertmanager",
    response_model=answers.HookAnswer,
    responses=_REFUSED | errors(404),
    openapi_extra=body_of(Notification),
)
async def alert(request: Request) -> Response:
    """Start the loop (look, decide, retrain if need be) if an alert is firing and labelled `loop: start`.

    It runs on its own: this answers at once. One at a time, and with a pause between two. Asks for a hook
    key, also on this machine; as long as none was made, there is nothing here (404).
    """
    notification = parsed(Notification, await _body(request))
    outcome = await asyncio.to_thread(_parts(request).hook.take, notification)
    return _json({"loop": outcome}, 202)


@router.get(
    "/health/live",
    tags=["operation"],
    summary="Does the process answer?",
    response_model=answers.LiveAnswer,
)
async def live(request: Request) -> Response:
    """200 as long as the process answers: restart it if not."""
    return _json({"status": "live", "api": _parts(request).identity})


@router.get(
    "/health/ready",
    tags=["operation"],
    summary="Can predictions be made?",
    response_model=answers.ReadyAnswer,
    responses={503: {"model": answers.ReadyAnswer, "description": "Not ready; says what is missing."}},
)
async def ready(request: Request) -> Response:
    """200 if the model server has the model and a prediction can be logged, else 503 and why.

    Tried once a second at most.
    """
    answer = await _parts(request).readiness.answer()
    return _json(answer, 200 if answer["ready"] else 503)


@router.get("/words", tags=["words"], summary="Words of the code list", response_model=answers.WordsAnswer)
async def code_words(language: Language = "en") -> Response:
    """Return the label of each field and the word of each code, as `POST /predict` understands them."""
    return _json(words(language))


@router.get(
    "/metrics",
    tags=["operation"],
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **errors(401, 403, 404)},
)
async def metrics(request: Request) -> Response:
    """Expose `accidents_*`: requests, predictions by band and version, probabilities, model server, log."""
    await _parts(request).counting.settle_among_others()
    await _parts(request).readiness.answer()  # `accidents_ready` is as of now, not of when somebody asked
    return Response(exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


def takes_request_alone(route: APIRoute) -> bool:
    """Whether its handler needs nothing of FastAPI: it takes the request and gives a Response."""
    return get_annotations(route.endpoint, eval_str=True) == {"request": Request, "return": Response}


def parsed(model: type[B], body: bytes) -> B:
    """Return a body as what it should be. Raises ApiError naming each wrong field."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise Mistakes().of(model, error) from None


def _accidents(body: bytes) -> list[Any]:
    """Return the accidents of a batch, each to be checked by itself. Raises ApiError for anything else."""
    try:
        document = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError("invalid", f"body: invalid JSON: {error}") from None
    accidents = document.get("accidents") if isinstance(document, dict) and len(document) == 1 else None
    if not isinstance(accidents, list) or not 1 <= len(accidents) <= MAX_BATCH:
        message = f'the body must be {{"accidents": [...]}} with 1 to {MAX_BATCH} accidents, and nothing else'
        raise ApiError("invalid", message, [{"where": "accidents", "message": message}])
    return accidents


async def _body(request: Request) -> bytes:
    """Return the body, counted by its size: reading it costs that, also if all of it is wrong."""
    parts = _parts(request)
    body = await read_json(request, parts.settings.body_limit, parts.settings.request_timeout)
    await parts.charge(request, _counted(body), 1)  # which the gate has counted
    return body


def _counted(body: bytes) -> int:
    """As how many accidents a body counts at least."""
    return max(1, len(body) // _CHARGED)


def _asked(request: Request) -> RequestContext:
    state, options = request.state, options_of(request.scope["query_string"])
    wanted = _parts(request).settings.reasons if options.reasons is None else options.reasons
    return RequestContext(state.request_id, state.caller, wanted, options.language)


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
