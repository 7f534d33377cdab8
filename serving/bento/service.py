"""The BentoML service: bundles from BentoML's model store, asked over V2 or over BentoML's own API.

One is the champion, which the model's metadata are of; `routes` in them are the versions on trial beside it,
as docs/decisions/0029-routes-from-metadata.md has them. By hand, of a model as it is in the store:

    bentoml build --arg model=accident-severity-dispatch:TAG     # TAG: as `bentoml models list` has it

The stack `local-bento` builds and serves it by itself: stacks/endpoints/bentoml.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import InvalidArgument
from bentoml.models import BentoModel
from pydantic import BaseModel

from serving.bento.rows import as_request
from serving.bento.v2_routes import ServedBundle, V2Routes
from serving.runtime.guard import MAX_BODY, Guard, allowed_hosts
from serving.runtime.predictor import Predictor
from serving.runtime.tensors import RequestError
from serving.runtime.v2_binary_data import PlainBodies

BUNDLE = "bundle"  # the champion's folder in the model, which has a file of BentoML's beside it


class Arguments(BaseModel):
    """What a Bento is built for."""

    model: str  # tag in BentoML's model store


class Prediction(BaseModel):
    """P(severe) of each accident, and by what."""

    p_severe: list[float]
    model: str
    version: str
    threshold: float
    bands: dict[str, float]
    synthetic: bool


_served: dict[str, ServedBundle] = {}  # by the name that V2 asks for, once the service has been made


@bentoml.service(
    name="accident-severity",
    workers=1,
    logging={"access": {"enabled": False}},  # a line a request, in a log that nothing rotates
)
@bentoml.asgi_app(V2Routes(_served, "bentoml", bentoml.__version__).app(), path="/")
class AccidentSeverity:
    """How likely it is that someone is killed or hospitalised in an accident."""

    model = BentoModel(bentoml.use_arguments(Arguments).model)

    def __init__(self) -> None:
        metadata, folder = self.model.info.metadata, Path(self.model.path)
        routes: list[dict[str, Any]] = metadata.get("routes", [])
        self._champion = _loaded(str(metadata["name"]), folder / BUNDLE, metadata, json.dumps(routes))
        trials = [_loaded(route["model"], folder / f"{BUNDLE}-{route['role']}", route) for route in routes]
        _served.update({served.name: served for served in (self._champion, *trials)})

    @bentoml.api  # type: ignore[untyped-decorator]
    async def predict(self, accidents: list[dict[str, Any]]) -> Prediction:
        """P(severe) of accidents, each the model's features by name; null is not known."""
        served = self._champion
        try:
            (output,) = await served.predictor.answer(as_request(accidents))
        except RequestError as error:
            raise InvalidArgument(str(error)) from None
        facts = served.predictor.facts
        return Prediction(
            p_severe=output.values.tolist(),
            model=served.name,
            version=served.version,
            threshold=facts["threshold"],
            bands=json.loads(facts["bands"]),
            synthetic=facts["synthetic"],
        )


def _loaded(name: str, bundle: Path, version: Mapping[str, Any], routes: str = "[]") -> ServedBundle:
    return ServedBundle(name, str(version["version"]), Predictor(bundle, str(version["digest"])), routes)


# To mypy it is the class, not the service that the decorator has made of it.
AccidentSeverity.add_asgi_middleware(Guard, hosts=allowed_hosts(), max_body=MAX_BODY)  # type: ignore[attr-defined]
AccidentSeverity.add_asgi_middleware(PlainBodies, limit=MAX_BODY)  # type: ignore[attr-defined]
