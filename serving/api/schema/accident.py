"""The accident as a caller describes it, checked; and what the features are computed from."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from accidents.strict import Strict
from accidents.vocabulary.times import FIRST_YEAR, SAY, read_time
from serving.api.schema.code_field import Coded
from serving.api.schema.parsed_fields import Commune, Whole, YesOrNo

FIRST_DAY = date(FIRST_YEAR, 1, 1)
MAX_BATCH = 1000
DEPARTMENT = Coded("department", "accidents")
_TEXT = r"^[^\x00-\x1f\x7f]+$"


def _local_time(value: Any) -> datetime:
    """2026-11-22T18:30, local; from 2005 to tomorrow."""
    day, clock, wrong = read_time(value) if isinstance(value, str) else (None, None, SAY)
    if day is None or clock is None:
        raise PydanticCustomError("time", "{wrong}", {"wrong": wrong or SAY})
    last = date.today() + timedelta(days=1)
    if not FIRST_DAY <= day <= last:
        context = {"first": FIRST_DAY.isoformat(), "last": last.isoformat()}
        raise PydanticCustomError("time", "must lie between {first} and {last} (tomorrow)", context)
    return datetime.combine(day, clock)


LocalTime = Annotated[
    datetime,
    BeforeValidator(_local_time),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^20[0-9]{2}-[01]?[0-9]-[0-3]?[0-9][Tt ][0-2]?[0-9]:[0-5]?[0-9]"
            r"(:[0-5]?[0-9](\.[0-9]+)?)?$",
            "description": "Local time, without an offset; from 2005-01-01 to tomorrow.",
            "examples": ["2026-11-22T18:30"],
        }
    ),
]


def department_of(commune: str) -> str:
    """Département of the INSEE code of a commune: 59350 -> 59, 2A004 -> 2A, 97105 -> 971."""
    return commune[:3] if commune[:2] in ("97", "98") else commune[:2]


class RequestModel(Strict):
    """A part of a body: no NaN, no infinity; a text is a number only where a file's is."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Place(RequestModel):
    """Where: coordinates, or a département, or a commune; best the coordinates and the commune."""

    latitude: float | None = Field(None, ge=-90, le=90, description="Degrees north, WGS84.")
    longitude: float | None = Field(None, ge=-180, le=180, description="Degrees east, WGS84.")
    department: Annotated[str | None, DEPARTMENT] = None
    commune: Annotated[str | None, Commune("INSEE code of the commune.")] = None

    @model_validator(mode="after")
    def _somewhere(self) -> Place:
        if (self.latitude is None) != (self.longitude is None):
            raise PydanticCustomError("place", "give both latitude and longitude, or neither")
        if self.commune is not None and department_of(self.commune) not in DEPARTMENT.words:
            raise PydanticCustomError("place", "no département has a commune of this code")
        if self.latitude is None and self.department is None and self.commune is None:
            raise PydanticCustomError("place", "give latitude and longitude, or department, or commune")
        return self


class Vehicle(RequestModel):
    """A vehicle involved. All but `category` is known on the scene only."""

    category: Annotated[int | None, Coded("category", "vehicles")] = None
    fixed_obstacle: Annotated[int | None, Coded("fixed_obstacle", "vehicles")] = None
    moving_obstacle: Annotated[int | None, Coded("moving_obstacle", "vehicles")] = None
    impact: Annotated[int | None, Coded("impact", "vehicles")] = None


class User(RequestModel):
    """A person involved, unharmed ones too; known on the scene only."""

    role: Annotated[int | None, Coded("role", "users")] = None
    seat: Annotated[int | None, Coded("seat", "users")] = None
    sex: Annotated[int | None, Coded("sex", "users")] = None
    birth_year: Annotated[int | None, Whole(1890, 2100, "Year of birth.")] = None


class Accident(RequestModel):
    """An accident as a caller describes it. Only time and place are needed; what is left out is not known."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "accident_id": "CR-2026-1187",
                "time": "2026-11-22T18:30",
                "place": {"latitude": 50.6292, "longitude": 3.0573, "commune": "59350"},
                "light": "night, street lighting on",
                "weather": "light rain",
                "built_up": "inside built-up area",
                "road_class": "local street",
                "speed_limit": 50,
                "pedestrian": True,
                "vehicles": [{"category": "car"}],
            }
        }
    )

    accident_id: str | None = Field(
        None, max_length=100, pattern=_TEXT, description="Your own id of the accident; labels may use it."
    )
    time: LocalTime
    place: Place
    light: Annotated[int | None, Coded("light", "accidents")] = None
    weather: Annotated[int | None, Coded("weather", "accidents")] = None
    built_up: Annotated[int | None, Coded("built_up", "accidents")] = None
    junction: Annotated[int | None, Coded("junction", "accidents")] = None
    road_class: Annotated[int | None, Coded("road_class", "places")] = None
    layout: Annotated[int | None, Coded("layout", "places")] = None
    lanes: Annotated[int | None, Whole(1, 19, "Lanes, all directions together.")] = None
    reserved_lane: Annotated[int | None, Coded("reserved_lane", "places")] = None
    gradient: Annotated[int | None, Coded("gradient", "places")] = None
    alignment: Annotated[int | None, Coded("alignment", "places")] = None
    surface: Annotated[int | None, Coded("surface", "places")] = None
    infrastructure: Annotated[int | None, Coded("infrastructure", "places")] = None
    speed_limit: Annotated[int | None, Whole(10, 130, "km/h")] = None
    pedestrian: Annotated[bool | None, YesOrNo("Whether a pedestrian is hit.")] = None
    vehicles: list[Vehicle] | None = Field(None, max_length=100)
    collision: Annotated[int | None, Coded("collision", "accidents")] = None
    users: list[User] | None = Field(None, max_length=500)
    session: str | None = Field(
        None,
        max_length=64,
        pattern=_TEXT,
        description="Your word for a form that is being filled in: of its predictions only the last counts.",
    )


class Batch(RequestModel):
    """Up to 1,000 accidents; each is answered in its place."""

    accidents: list[Accident] = Field(min_length=1, max_length=MAX_BATCH)


class Outcome(RequestModel):
    """What became of an accident, named by the request id of its prediction or by your own id."""

    request_id: str | None = Field(None, pattern=r"^[0-9a-f]{32}$")
    accident_id: str | None = Field(None, max_length=100, pattern=_TEXT)
    severe: bool = Field(description="Whether someone was killed or hospitalised.")

    @model_validator(mode="after")
    def _one_name(self) -> Outcome:
        if (self.request_id is None) == (self.accident_id is None):
            raise PydanticCustomError("label", "give either request_id or accident_id")
        return self


class Outcomes(RequestModel):
    """Up to 1,000 outcomes. Sending one again changes nothing."""

    labels: list[Outcome] = Field(min_length=1, max_length=MAX_BATCH)
