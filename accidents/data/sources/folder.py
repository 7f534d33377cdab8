"""Published files that somebody already has, in a folder of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accidents.data.sources.published_files import check_years, published_files
from accidents.data.sources.year_files import YearFiles, find_years
from accidents.errors import SourceError


def open_folder(folder: Path, years: Sequence[int] | None = None) -> dict[int, YearFiles]:
    """Find the published files below `folder`; nothing is copied or changed.

    Parameters
    ----------
    folder : searched at any depth for the official file names, gzipped or not.
    years : the years wanted; None for all there are.

    Returns
    -------
    The files of each year, years ascending. A table that is not there is None.

    Raises
    ------
    SourceError
        If there is no such folder, no published file in it, a wanted year is missing, or two files claim to
        be the same table of the same year.
    """
    there = find_years(folder)
    if not there:
        names = ", ".join(file.file_name for file in published_files([2018]))
        raise SourceError(
            f"{folder}: none of the files in it has a published name, such as {names} (.gz may follow). "
            "Give the folder that holds them, or rename your files to the published names."
        )
    if years is None:
        return there
    check_years(years, there, folder)
    return {year: there[year] for year in sorted(set(years))}
