"""Which years a retraining can learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accidents.data.sources.catalogue import published_files
from accidents.data.sources.files import find_years
from accidents.data.sources.settings import DataSettings

_LABELS = "usagers"


def years_to_learn(data: DataSettings, known: Sequence[int], until: int) -> tuple[int, ...]:
    """Years later than those `known`, up to `until`, that the source can give with labels."""
    after = max(known, default=0)
    return tuple(year for year in _offered(data, after, until) if after < year <= until)


def _offered(data: DataSettings, after: int, until: int) -> list[int]:
    if data.source == "sample":
        from accidents.data.sources.sample import LAST_YEAR

        return list(range(after + 1, min(until, LAST_YEAR) + 1))
    if data.source == "data.gouv":
        return sorted({file.year for file in published_files() if file.table == _LABELS})
    return [year for year, files in find_years(Path(data.source)).items() if files.paths.get(_LABELS)]
