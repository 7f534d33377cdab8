"""Short words people use for vehicles; each stands for the commonest code of its kind."""

from __future__ import annotations

from collections.abc import Mapping


def common_words(column: str) -> Mapping[str, int]:
    """Word to code of a column; empty where the code list's own words do."""
    return _VEHICLES if column == "category" else {}


_VEHICLES = {
    "car": 7,
    "van": 10,
    "lorry": 14,
    "truck": 14,
    "motorcycle": 33,
    "motorbike": 33,
    "moped": 2,
    "scooter": 32,
    "e-bike": 80,
    "e-scooter": 50,
    "tractor": 21,
    "voiture": 7,
    "camionnette": 10,
    "utilitaire": 10,
    "camion": 14,
    "poids lourd": 14,
    "moto": 33,
    "cyclomoteur": 2,
    "vélo": 1,
    "trottinette électrique": 50,
    "tracteur": 21,
}
