"""What is read or built at its first use is read at the start, so that no caller waits for it."""

from __future__ import annotations

import asyncio

import orjson

from accidents.geography.departments import department_at
from accidents.vocabulary.words import LANGUAGES, words
from serving.api.schema.accident import Accident
from serving.api.schema.description import describe


async def warm_up() -> None:
    """Describe an accident with every kind of field, in a thread."""
    await asyncio.to_thread(_warm_up)


def _warm_up() -> None:
    accident = Accident.model_validate_json(orjson.dumps(_EVERY_FIELD))
    describe(accident, "dispatch", department_at)
    for language in LANGUAGES:
        words(language)


_ONE = dict.fromkeys(
    ("light", "weather", "built_up", "junction", "road_class", "layout", "reserved_lane", "gradient",
     "alignment", "surface", "infrastructure", "collision"), 1
)  # fmt: skip
_EVERY_FIELD = {
    "time": "2022-11-22T18:30",
    "place": {"latitude": 50.6292, "longitude": 3.0573, "department": "59"},
    "vehicles": [dict.fromkeys(("category", "fixed_obstacle", "moving_obstacle", "impact"), 1)],
    "users": [dict.fromkeys(("role", "seat", "sex"), 1)],
    **_ONE,
}
