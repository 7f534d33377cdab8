"""What a feature of some value says, in both languages."""

from __future__ import annotations

import pytest

from accidents.features.phrases import phrase


@pytest.mark.parametrize(
    ("feature", "value", "english", "french"),
    [
        ("pedestrian", 1, "a pedestrian is hit", "un piéton est heurté"),
        ("pedestrian", 0, "no pedestrian", "aucun piéton heurté"),
        ("speed_limit", 80, "speed limit 80 km/h", "vitesse limitée à 80 km/h"),
        ("light", 3, "night, no street lighting", "nuit sans éclairage public"),
        ("motorcycles", 2, "2 motorcycles", "2 motos"),
        ("motorcycles", 0, "no motorcycle", "aucune moto"),
        ("vehicles", 1, "a single vehicle", "un seul véhicule"),
        ("vehicles", 3.0, "3 vehicles", "3 véhicules"),
        ("weather", 1, "normal weather", "météo normale"),
        ("weather", 42, "weather: 42", "météo\u00a0: 42"),
        ("hour", 23, "between 23:00 and 24:00", "entre 23 h et 24 h"),
        ("weekday", 5, "on a Saturday", "un samedi"),
        ("junction", 3, "at a T junction", "à une intersection en T"),
        ("reserved_lane", 1, "there is a cycle track", "présence d'une piste cyclable"),
        ("oldest", 1, "the oldest person is aged 1", "la personne la plus âgée a 1 an"),
        ("obstacle_of_lightest", 2, "fixed obstacle the lightest vehicle hit: tree",
         "obstacle fixe heurté par le véhicule le plus léger\u00a0: arbre"),
    ],
)  # fmt: skip
def test_phrases(feature: str, value: float, english: str, french: str):
    assert phrase(feature, value) == english
    assert phrase(feature, value, "fr") == french
