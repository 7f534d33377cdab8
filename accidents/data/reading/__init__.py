"""Reading the published files, in any of their formats, into typed tables with a quality report."""

from accidents.data.reading.years import read_year, read_years

__all__ = ["read_year", "read_years"]
