"""Every probability has exactly one band."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accidents.config import parse
from accidents.errors import SettingsError
from accidents.params import Params
from accidents.vocabulary.bands import DEFAULT_BANDS, band_of, check_bands


@pytest.mark.parametrize(
    ("probability", "band"),
    [(0.0, "low"), (0.1999, "low"), (0.2, "moderate"), (0.4, "high"), (0.6, "very high"), (1.0, "very high")],
)
def test_a_band_begins_at_its_edge(probability: float, band: str) -> None:
    assert band_of(probability, DEFAULT_BANDS) == band


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_probability_has_no_lower_band(one: float, other: float) -> None:
    names = list(DEFAULT_BANDS)
    low, high = sorted((one, other))
    assert names.index(band_of(low, DEFAULT_BANDS)) <= names.index(band_of(high, DEFAULT_BANDS))


@pytest.mark.parametrize("bands", [{}, {"low": 0.1}, {"a": 0, "b": 0}, {"a": 0, "b": 1}])
def test_bands_that_leave_gaps_are_refused(bands: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="lower edges"):
        parse(Params, {"evaluation": {"bands": bands}}, "params.yaml")


def test_bands_come_in_rising_order() -> None:
    assert list(check_bands({"b": 0.5, "a": 0})) == ["a", "b"]
