"""`run.py data`: files of accidents, had and read before anything is trained on them."""

from __future__ import annotations

from accidents.params import Params
from commands.project import console


def download(params: Params) -> None:
    """Have the raw files, and say by which hash they are known. A second time changes nothing."""
    from accidents.data.dataset import fetch_raw

    raw = fetch_raw(params.data)
    console.print(f"{_named(params)}: {raw.version}", highlight=False, soft_wrap=True)


def check(params: Params) -> None:
    """Read them as a training would.

    Raises
    ------
    DataError : files that cannot be read as what they claim to be, or a year without accidents.
    """
    from accidents.data.dataset import fetch_raw
    from accidents.data.reading import read_years
    from accidents.errors import DataError

    tables, quality = read_years(fetch_raw(params.data).years)
    accidents = tables.validate().accidents
    counts = accidents["year"].value_counts()
    if missing := [str(year) for year in params.data.years if not counts.get(year)]:
        raise DataError(
            f"There are no accidents of {', '.join(missing)} in the files of {params.data.source}."
        )
    lines = [f"{year}: {counts[year]:,} accidents" for year in params.data.years]
    lines += [*quality.warnings(), f"{len(quality)} findings; training repairs or leaves out what they name."]
    console.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)


def _named(params: Params) -> str:
    return f"{params.data.source}, {', '.join(map(str, params.data.years))}"
