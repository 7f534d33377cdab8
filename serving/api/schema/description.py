"""From a checked accident to its features, with notes on what was filled in or is not used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from accidents.features import build_one, features_of
from accidents.geography.boxes import OVERSEAS
from serving.api.errors import ApiError
from serving.api.schema.accident import Accident, Place, department_of

DepartmentAt = Callable[[float, float], str | None]
_ABOUT = {"accident_id", "session", "time", "place", "pedestrian", "vehicles", "users"}  # no table's columns


@dataclass(frozen=True)
class AccidentFeatures:
    """An accident ready for a model of `stage`: `accident` is what `build_one` took."""

    accident: dict[str, Any]
    features: dict[str, float]
    notes: list[str]


def describe(given: Accident, stage: str, department_at: DepartmentAt) -> AccidentFeatures:
    """Features of an accident for a model of `stage`.

    Raises ApiError ("invalid") for a place outside of France and for statements that contradict each other.
    """
    notes: list[str] = []
    accident: dict[str, Any] = {
        key: value for key, value in given.__dict__.items() if value is not None and key not in _ABOUT
    }
    time = given.time
    accident |= {
        "year": time.year, "month": time.month, "day": time.day, "hour": time.hour, "minute": time.minute
    }  # fmt: skip
    accident |= _place(given.place, department_at, notes)
    for table in ("vehicles", "users"):
        rows = getattr(given, table)
        if rows is not None:
            accident[table] = [_stated(row.__dict__) for row in rows]
    ignored = [name for name in _names(accident) if name not in _used(stage)]
    if ignored:
        notes.append(f"{', '.join(ignored)}: not used by a model of stage {stage}")
    features = build_one(accident, stage)
    if given.pedestrian is not None:
        accident["pedestrian"] = given.pedestrian
        features["pedestrian"] = _pedestrian(given.pedestrian, features["pedestrian"])
    return AccidentFeatures(accident, features, notes)


def _stated(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


def _place(place: Place, department_at: DepartmentAt, notes: list[str]) -> dict[str, Any]:
    """Latitude, longitude, department and commune, the department filled in."""
    result = _stated(place.__dict__)
    if place.commune is not None:
        _fill(result, department_of(place.commune), "commune", notes)
    if place.latitude is not None and place.longitude is not None:
        department = department_at(place.latitude, place.longitude)
        if department is None:
            raise _contradiction("place", "these coordinates are at sea or outside France")
        if (
            "department" in result
            and (department in OVERSEAS or result["department"] in OVERSEAS)
            and (department != result["department"])
        ):
            del result["latitude"], result["longitude"]
            notes.append(
                f"the coordinates lie in department {department}, not {result['department']}: "
                "they are not used"
            )
        elif result.get("department", department) != department:
            notes.append(
                f"the coordinates seem to lie in department {department}, not {result['department']}: "
                "both used"
            )
        else:
            _fill(result, department, "coordinates", notes)
    return result


def _fill(place: dict[str, Any], department: str, source: str, notes: list[str]) -> None:
    if "department" not in place:
        place["department"] = department
        notes.append(f"department {department} is taken from the {source}")
    elif place["department"] != department:
        message = f"commune {place['commune']} lies in department {department}, not {place['department']}"
        raise _contradiction("place.commune", message)


def _pedestrian(stated: bool, involved: float) -> float:
    """Whether a pedestrian is hit; `involved` is what vehicles and users say, NaN for nothing."""
    if involved > 0 and not stated:
        message = "false, but vehicles or users speak of a pedestrian"
        raise _contradiction("pedestrian", message)
    return float(stated)


def _contradiction(where: str, message: str) -> ApiError:
    return ApiError("invalid", f"{where}: {message}", [{"where": where, "message": message}])


def _names(accident: Mapping[str, Any]) -> list[str]:
    """Names of the columns that are stated, each once: those of the accident, its vehicles and its users."""
    inner = (name for table in ("vehicles", "users") for row in accident.get(table, ()) for name in row)
    return list(dict.fromkeys([*(name for name in accident if name not in ("vehicles", "users")), *inner]))


@lru_cache(maxsize=4)
def _used(stage: str) -> frozenset[str]:
    """Columns that a feature of the stage is computed from, and the minute, which none needs."""
    sources = (source for feature in features_of(stage) for source in feature.compute.sources)
    return frozenset({"minute", *(name for _, name in sources)})
