"""Boxes of France: where coordinates may lie, what the model's grids cover, and what maps show.

Each is south, north, west, east in degrees (WGS84).
"""

from __future__ import annotations

from collections.abc import Mapping

Box = tuple[float, float, float, float]

# Where coordinates may lie, by department overseas: a little wider than the land.
MAINLAND: Box = (41.2, 51.3, -5.4, 9.8)
OVERSEAS: Mapping[str, Box] = {
    "971": (15.7, 18.2, -63.3, -60.8),  # held St-Martin and St-Barthelemy until 2007
    "972": (14.2, 15.0, -61.4, -60.6),
    "973": (2.0, 6.1, -54.8, -51.4),
    "974": (-21.6, -20.7, 55.0, 56.0),
    "975": (46.6, 47.3, -56.7, -56.0),
    "976": (-13.2, -12.5, 44.9, 45.5),
    "977": (17.8, 18.0, -63.0, -62.7),
    "978": (18.0, 18.2, -63.3, -62.9),
    "986": (-14.6, -13.0, -178.5, -175.9),
    "987": (-28.5, -7.5, -155.5, -134.0),
    "988": (-23.5, -17.5, 158.0, 172.5),
}
# What a grid of the place encoder covers, each one its own: of islands far apart only those with accidents.
# Another box is another grid, whose cells a model that was trained before does not know.
GRIDDED: tuple[Box, ...] = (
    (41.0, 51.6, -5.5, 10.0),  # mainland and Corsica
    (14.2, 18.3, -63.3, -60.6),  # Antilles
    (2.0, 6.2, -54.8, -51.4),  # French Guiana
    (-21.6, -20.7, 55.0, 56.0),  # Réunion
    (-13.2, -12.4, 44.9, 45.5),  # Mayotte
    (46.6, 47.3, -56.7, -56.0),  # St-Pierre-et-Miquelon
    (-22.9, -19.4, 163.4, 168.3),  # New Caledonia
    (-18.0, -16.2, -152.0, -149.0),  # Society Islands
)

# What a map shows: as narrow as the land, or the accidents, for a picture is small.
SHOWN_MAINLAND: Box = (41.3, 51.2, -5.2, 9.7)
SHOWN_OVERSEAS: Mapping[str, Box] = {
    "Guadeloupe": (15.8, 16.6, -61.9, -60.9),
    "Martinique": (14.35, 14.95, -61.3, -60.7),
    "Guyane": (2.0, 6.0, -54.7, -51.5),
    "La Réunion": (-21.45, -20.8, 55.15, 55.9),
    "Mayotte": (-13.05, -12.6, 44.95, 45.35),
}
