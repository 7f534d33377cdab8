"""Bands: a calibrated probability in words. Pure Python: a prediction server uses it."""

from __future__ import annotations

from collections.abc import Mapping

# Lower edges of P(severe). About a third of recorded injury accidents are severe, so "moderate" is usual.
DEFAULT_BANDS: Mapping[str, float] = {"low": 0.0, "moderate": 0.2, "high": 0.4, "very high": 0.6}


def band_of(probability: float, bands: Mapping[str, float]) -> str:
    """Return the band with the highest lower edge that `probability` reaches."""
    return max((edge, name) for name, edge in bands.items() if probability >= edge)[1]


def check_bands(bands: Mapping[str, float]) -> Mapping[str, float]:
    """Return `bands` in rising order. Raises ValueError unless they cover 0 to 1 with distinct edges."""
    edges = sorted(bands.values())
    if not edges or edges[0] != 0 or edges[-1] >= 1 or len(set(edges)) < len(edges):
        raise ValueError("the bands' lower edges must differ, start at 0 and stay under 1")
    return dict(sorted(bands.items(), key=lambda band: band[1]))
