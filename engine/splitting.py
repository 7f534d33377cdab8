"""The split by time, from what each partition's months hold: nothing is read."""

from __future__ import annotations

from typing import Any

from accidents.errors import SettingsError
from accidents.training.split import LEFT_OUT, SplitSettings, cut_by_time
from engine.partitions import PartitionedRows


def split_rows(
    rows: PartitionedRows, settings: SplitSettings
) -> tuple[dict[str, PartitionedRows], dict[str, Any]]:
    """Split as `accidents.training.split.split` does; return the parts, and what it tells of them.

    Raises SettingsError for a split at random, which would need all rows at once.
    """
    if settings.method != "time":
        raise SettingsError(f"split.method {settings.method!r} does not go with `engine: dask`: use `time`.")
    cuts = cut_by_time(rows.months, settings.test_year, settings.calibration_share, settings.test_share)
    parts = {part: rows.of(span) for part, span in cuts.periods.items()}
    counts = {part: len(chosen) for part, chosen in parts.items()}
    counts[LEFT_OUT] = sum(part.rows for part in rows.parts) - sum(counts.values())
    return parts, {"method": settings.method, "description": cuts.description, "rows": counts}
