"""Why the model gives an accident its risk, in short phrases.

SHAP values of the model's columns are summed into what people understand: all that is known of the place is
one reason, and what is not stated together (the types of the vehicles, say) is one reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accidents.words import phrase, sentence, word

PLACE = "place"
SIZES = "lightest_and_heaviest"
# Features that are mostly unknown together; if all of a family are, they are one reason.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "vehicle_types": (
        "bicycles", "mopeds", "motorcycles", "cars", "vans", "lorries", "public_transport", "machines",
        "lightest", "heaviest",
    ),
    "fixed_obstacles": (
        "hit_parked", "hit_tree", "hit_barrier", "hit_wall", "hit_post", "hit_kerb", "hit_ditch", "hit_other",
        "left_road", "obstacle_of_lightest", "obstacle_of_heaviest",
    ),
    "moving_obstacles": ("hit_vehicle", "hit_animal", "hit_train", "hit_nothing"),
    "impacts": (
        "front_impacts", "rear_impacts", "side_impacts", "rollovers", "no_impacts",
        "impact_of_lightest", "impact_of_heaviest",
    ),
    "ages": ("oldest", "youngest", "oldest_pedestrian", "youngest_driver", "oldest_driver"),
}  # fmt: skip

_GROUPS = {
    **dict.fromkeys(("latitude", "longitude", "department", "commune"), PLACE),
    **dict.fromkeys(("lightest", "heaviest"), SIZES),
}
_PLACE_COLUMNS = ("density_", "severity_")  # what the encoder says of a place


@dataclass(frozen=True)
class Reason:
    """One reason for an accident's risk.

    Attributes
    ----------
    feature : a feature's name, or that of a group: "place", "lightest_and_heaviest" or one of `FAMILIES`.
    value : the feature's value; None if it is not known, and for a group.
    text : a short phrase.
    weight : log-odds before calibration; above 0 it raises the risk.
    """

    feature: str
    value: float | None
    text: str
    weight: float

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return dict(vars(self))


def top_reasons(
    accident_features: Mapping[str, float],
    columns: Sequence[str],
    contributions: Sequence[float],
    count: int = 5,
    language: str = "en",
) -> list[Reason]:
    """The reasons that weigh most, the heaviest first; none that weighs nothing.

    Parameters
    ----------
    accident_features : what `build_one` gives; a missing or NaN value is not known.
    columns : names of the model's columns, c of them.
    contributions : their SHAP values; a (c + 1)-th, the expected score, is no reason.
    language : "en" or "fr"; another one raises SettingsError.

    Raises ValueError if `columns` and `contributions` do not fit.
    """
    if len(contributions) - len(columns) not in (0, 1):
        raise ValueError(f"{len(columns)} columns and {len(contributions)} contributions do not fit")
    weights = _weights(accident_features, columns, contributions)
    heaviest = sorted(weights.items(), key=lambda group: -abs(group[1]))[:count]
    return [_reason(name, accident_features, weight, language) for name, weight in heaviest if weight]


def _weights(
    features: Mapping[str, float], columns: Sequence[str], contributions: Sequence[float]
) -> dict[str, float]:
    groups = _GROUPS | _unknown_families(features)
    if features.get("pedestrians") == 0:
        groups["oldest_pedestrian"] = "pedestrian"  # there is none, so no age is missing
    weights: dict[str, float] = {}
    for column, weight in zip(columns, contributions, strict=False):
        name = PLACE if column.startswith(_PLACE_COLUMNS) else groups.get(column, column)
        weights[name] = weights.get(name, 0.0) + float(weight)
    return weights


def _unknown_families(features: Mapping[str, float]) -> dict[str, str]:
    """Members of the families of which nothing is known, and their family's name."""
    unknown = (
        (family, members)
        for family, members in FAMILIES.items()
        if all(_value(features, member) is None for member in members)
    )
    return {member: family for family, members in unknown for member in members}


def _value(features: Mapping[str, float], name: str) -> float | None:
    value = features.get(name)
    return None if value is None or value != value else float(value)


def _reason(name: str, features: Mapping[str, float], weight: float, language: str) -> Reason:
    if name == PLACE:
        return Reason(name, None, _place(features, language), weight)
    if name == SIZES:
        return Reason(name, None, _sizes(features, language), weight)
    value = _value(features, name)
    return Reason(name, value, phrase(name, value, language), weight)


def _place(features: Mapping[str, float], language: str) -> str:
    number = _value(features, "department")
    known_as = None if number is None else word("department", _insee(number), language)
    if known_as is not None:
        return sentence("named_place", language, word=known_as)
    if all(_value(features, name) is None for name in ("latitude", "longitude", "commune", "department")):
        return phrase(PLACE, None, language)
    return sentence("place", language)


def _insee(number: float) -> str:
    """INSEE code of a department from its number: 1 -> "01", 201 -> "2A"."""
    return {201: "2A", 202: "2B"}.get(int(number), f"{int(number):02}")


def _sizes(features: Mapping[str, float], language: str) -> str:
    lightest, heaviest = (_value(features, name) for name in ("lightest", "heaviest"))
    if lightest is None or heaviest is None:
        return phrase(SIZES, None, language)
    only = "only_vehicle" if features.get("vehicles") == 1 else "same_vehicles"
    classes = {
        "lightest": str(word("mass", lightest, language)),
        "heaviest": str(word("mass", heaviest, language)),
    }
    return sentence(only if lightest == heaviest else "other_vehicles", language, **classes)
