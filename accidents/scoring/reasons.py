"""Why the model gives an accident its risk, in short phrases.

SHAP values of the model's columns are summed into what people understand: all that is known of the place is
one reason. What is not known is no reason for a person; accidents/bundle/questions.py tells what to ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from accidents.features.phrases import phrase
from accidents.vocabulary.words import sentence, word

PLACE = "place"
SIZES = "lightest_and_heaviest"

_GROUPS = {
    **dict.fromkeys(("latitude", "longitude", "department", "commune"), PLACE),
    **dict.fromkeys(("lightest", "heaviest"), SIZES),
}
_MEMBERS = {
    group: [name for name, its in _GROUPS.items() if its == group]
    for group in dict.fromkeys(_GROUPS.values())
}
_PLACE_COLUMNS = ("density_", "severity_")  # what the encoder says of a place


@dataclass(frozen=True)
class Reason:
    """One reason for an accident's risk.

    Attributes
    ----------
    feature : a feature's name, or that of a group: "place" or "lightest_and_heaviest".
    value : the feature's value; None for a group.
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
    features: Mapping[str, float],
    columns: Sequence[str],
    contributions: Sequence[float],
    count: int = 5,
    language: str = "en",
) -> list[Reason]:
    """Return what is known and weighs most, the heaviest first; nothing that weighs nothing.

    Parameters
    ----------
    features : what `build_one` gives; a missing or NaN value is not known.
    columns : names of the model's columns, c of them.
    contributions : their SHAP values; a (c + 1)-th, the expected score, is no reason.
    language : "en" or "fr"; another one raises SettingsError.

    Raises
    ------
    ValueError : `columns` and `contributions` do not fit.
    """
    if len(contributions) - len(columns) not in (0, 1):
        raise ValueError(f"{len(columns)} columns and {len(contributions)} contributions do not fit")
    weights = _weights(features, columns, contributions)
    heaviest = sorted(filter(weights.get, weights), key=lambda name: -abs(weights[name]))
    known = islice((name for name in heaviest if _is_known(name, features)), count)
    return [_reason(name, features, weights[name], language) for name in known]


def _weights(
    features: Mapping[str, float], columns: Sequence[str], contributions: Sequence[float]
) -> dict[str, float]:
    # Where there is no pedestrian, no age is missing.
    groups = _groups(tuple(columns), features.get("pedestrians") == 0)
    weights = dict.fromkeys(groups, 0.0)
    for name, weight in zip(groups, contributions, strict=False):
        weights[name] += float(weight)
    return weights


@lru_cache(maxsize=8)
def _groups(columns: tuple[str, ...], no_pedestrian: bool) -> tuple[str, ...]:
    """Return the reason that each column is part of."""
    groups = {**_GROUPS, "oldest_pedestrian": "pedestrian"} if no_pedestrian else _GROUPS
    return tuple(
        PLACE if column.startswith(_PLACE_COLUMNS) else groups.get(column, column) for column in columns
    )


def _is_known(name: str, features: Mapping[str, float]) -> bool:
    """Whether anything of a feature or a place is known, and both of the two vehicles."""
    if name == SIZES:
        return all(_value(features, size) is not None for size in _MEMBERS[SIZES])
    return any(_value(features, member) is not None for member in _MEMBERS.get(name, [name]))


def _value(features: Mapping[str, float], name: str) -> float | None:
    value = features.get(name)
    return None if value is None or value != value else float(value)


def _reason(name: str, features: Mapping[str, float], weight: float, language: str) -> Reason:
    if name == PLACE:
        return Reason(name, None, _place(features, language), weight)
    if name == SIZES:
        return Reason(name, None, _sizes(features, language), weight)
    value = float(features[name])
    return Reason(name, value, phrase(name, value, language), weight)


def _place(features: Mapping[str, float], language: str) -> str:
    number = _value(features, "department")
    known_as = None if number is None else word("department", _insee(number), language)
    if known_as is None:
        return sentence("place", language)
    return sentence("named_place", language, word=known_as)


def _insee(number: float) -> str:
    """INSEE code of a department from its number: 1 -> "01", 201 -> "2A"."""
    return {201: "2A", 202: "2B"}.get(int(number), f"{int(number):02}")


def _sizes(features: Mapping[str, float], language: str) -> str:
    lightest, heaviest = features["lightest"], features["heaviest"]
    only = "only_vehicle" if features.get("vehicles") == 1 else "same_vehicles"
    classes = {
        "lightest": str(word("mass", lightest, language)),
        "heaviest": str(word("mass", heaviest, language)),
    }
    return sentence(only if lightest == heaviest else "other_vehicles", language, **classes)
