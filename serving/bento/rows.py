"""Accidents as BentoML's own API has them, a dictionary each, into a V2 request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serving.runtime.tensors import RequestError
from serving.runtime.v2_requests import InferenceRequest, RequestInput


def as_request(accidents: Sequence[Mapping[str, Any]]) -> InferenceRequest:
    """One tensor a feature. Raises RequestError where accidents do not say the same features."""
    names = list(accidents[0]) if accidents else []
    for row, accident in enumerate(accidents):
        if accident.keys() != set(names):
            raise RequestError(
                f"Accident {row} says other features than the first. Say each in every one; null is for "
                "not known."
            )
    return InferenceRequest(inputs=[_tensor(name, accidents) for name in names])


def _tensor(name: str, accidents: Sequence[Mapping[str, Any]]) -> RequestInput:
    data = [accident[name] for accident in accidents]
    return RequestInput(name=name, shape=[len(data)], datatype="FP64", data=data)
