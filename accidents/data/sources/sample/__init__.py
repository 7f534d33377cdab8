"""The default data source: synthetic BAAC-like years, written as the real ones are published.

They are made up: nothing in them happened. Shares, relations and the strength of the signal follow real years
(`calibration.json` holds the aggregates, `benchmarks/calibrate_sample.py` derives them).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from accidents.data.sources.sample import drift as drifts
from accidents.data.sources.sample import manifest, published_form
from accidents.data.sources.sample.draw_accidents import draw_accidents, draw_users, draw_vehicles, stream
from accidents.data.sources.sample.severity import accident_logit, draw_severe, user_severity
from accidents.data.sources.sample.tables import Calibration, load_calibration
from accidents.data.sources.year_files import YearFiles
from accidents.errors import SettingsError
from accidents.files import write_whole
from accidents.progress import track

FIRST_YEAR, LAST_YEAR = 2005, 2026
MOST_ACCIDENTS = 1_000_000  # a year; the published serial has eight digits, memory is the limit

Drift = Literal[
    "none", "lockdown", "new_vehicle", "speed_limit", "severity_shift", "broken_field", "coordinate_units"
]
"""What changes in the last year asked for:

none: nothing.
lockdown: half the accidents of March to May are missing, commuters' more than others'; trips turn to leisure.
new_vehicle: personal mobility devices (category 50) surge in built-up areas.
speed_limit: departmental roads outside built-up areas go from 80 back to 90 km/h, and get more severe.
severity_shift: the same accidents, but more of them severe (by 0.6 in log-odds).
broken_field: light (lum) is missing everywhere.
coordinate_units: the decimal mark of latitude and longitude slips by one place.
"""

NOTE = """SYNTHETIC DATA. Nothing in these files happened.

Road accidents made up by the project itself, in the published form of the French BAAC files, for trying and
testing. Do not publish, merge with real files or draw conclusions on road safety from them.
"""


def write_sample(
    folder: Path, years: Sequence[int], accidents_per_year: int = 20_000, seed: int = 7, drift: str = "none"
) -> dict[int, YearFiles]:
    """Write synthetic years as `<folder>/<year>/<official file names>` and return the files of each year.

    Parameters
    ----------
    folder: made if it is not there; files of the same name are replaced, unless they are what this code made
        of the same arguments, to the byte.
    years: any of 2005 to 2026, in any order. A year's files depend on its number, on `accidents_per_year`, on
        `seed` and, for the last year only, on `drift`: not on which other years are asked for.
    accidents_per_year: 1 to 1,000,000; real years have 50,000 to 87,000.
    drift: one of `Drift`.

    Raises SettingsError for a year, size, seed or drift that is not offered.
    """
    _check(years, accidents_per_year, seed, drift)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "SYNTHETIC.txt", NOTE.encode("utf-8"))
    last = max(years)
    recipes = {
        year: manifest.recipe(year, accidents_per_year, seed, drift if year == last else "none")
        for year in sorted(set(years))
    }
    there = {year: published_form.year_files(folder / str(year), year) for year in recipes}
    missing = [year for year, recipe in recipes.items() if not manifest.is_made(there[year], recipe)]
    calibration = load_calibration()
    for year in track(missing, "Writing synthetic years"):
        tables = make_year(calibration, year, accidents_per_year, seed, recipes[year]["drift"])
        manifest.note(published_form.write_year(folder / str(year), year, tables), recipes[year])
    return there


def make_year(
    calibration: Calibration, year: int, accidents: int, seed: int, drift: str
) -> dict[str, pd.DataFrame]:
    """Return the four raw tables of a synthetic year."""
    changing = stream(seed, year, "drift")
    a = drifts.change_accidents(
        changing, calibration, draw_accidents(calibration, year, accidents, seed), drift
    )
    v = draw_vehicles(stream(seed, year, "vehicles"), calibration, a, year)
    drifts.change_vehicles(changing, v, a, drift)
    u = draw_users(stream(seed, year, "users"), calibration, a, v)
    drifts.change_users(changing, u, a, drift)
    score = accident_logit(calibration, a, v, u, year, seed) + drifts.severity_change(a, drift)
    rng = stream(seed, year, "severity")
    severity = user_severity(rng, calibration, a, u, draw_severe(rng, score))
    drifts.change_coordinates(a, drift)
    return drifts.break_field(
        published_form.raw_tables(stream(seed, year, "flaws"), year, a, v, u, severity), year, drift
    )


def _check(years: Sequence[int], accidents_per_year: int, seed: int, drift: str) -> None:
    wrong = [year for year in years if not FIRST_YEAR <= year <= LAST_YEAR]
    if wrong or not years:
        raise SettingsError(f"sample: years {list(years)}: give one or more of {FIRST_YEAR} to {LAST_YEAR}.")
    if not 1 <= accidents_per_year <= MOST_ACCIDENTS:
        raise SettingsError(
            f"sample: accidents_per_year is {accidents_per_year}: give 1 to {MOST_ACCIDENTS:,}."
        )
    if seed < 0:
        raise SettingsError(f"sample: seed is {seed}: give 0 or more.")
    if drift not in get_args(Drift):
        raise SettingsError(f"sample: drift is {drift!r}: give one of {', '.join(get_args(Drift))}.")
