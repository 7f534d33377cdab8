"""Which years a source can give with labels, before anything is made or downloaded."""

from __future__ import annotations

from pathlib import Path

from accidents.data.partition_files import is_partitioned, read_manifest
from accidents.data.sources import UNKNOWN
from accidents.data.sources.published_files import published_files
from accidents.data.sources.settings import DataSettings
from accidents.data.sources.year_files import find_years

_LABELS = "usagers"


def labelled_years(data: DataSettings, after: int, until: int) -> tuple[int, ...]:
    """Years later than `after`, up to `until`.

    Raises
    ------
    SourceError : the source is a folder that is not on this machine, or a store that does not answer.
    DataError : its partitions' manifest.json is none.
    """
    return tuple(year for year in _offered(data, after, until) if after < year <= until)


def _offered(data: DataSettings, after: int, until: int) -> list[int]:
    if data.source == UNKNOWN:
        return []
    if data.source == "sample":
        from accidents.data.sources.sample import LAST_YEAR

        return list(range(after + 1, min(until, LAST_YEAR) + 1))
    if data.source == "data.gouv":
        return sorted({file.year for file in published_files() if file.table == _LABELS})
    if is_partitioned(data.source):
        return read_manifest(data.source).years
    folder = Path(data.source).expanduser()
    return [year for year, files in find_years(folder).items() if files.paths.get(_LABELS)]
