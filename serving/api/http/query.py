"""The query of a prediction. The same few come again and again, so what they mean is kept."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qsl

from pydantic import Field, ValidationError

from accidents.strict import Strict
from serving.api.errors import ApiError
from serving.api.http.validation_errors import Mistakes


class Options(Strict):
    """How an answer is wanted."""

    reasons: bool | None = Field(
        None, description="Whether to give the main reasons; without it, as the settings say."
    )
    language: Literal["en", "fr"] = Field("en", description="Language of the reasons.")


@lru_cache(maxsize=256)
def options_of(query: bytes) -> Options:
    """Options of a raw query string. Raises ApiError naming a wrong or unknown one."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise ApiError("bad_request", "The query cannot be read.") from None
    try:
        return Options.model_validate(dict(pairs))
    except ValidationError as error:
        raise Mistakes().of(Options, error) from None
