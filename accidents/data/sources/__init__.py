"""Where raw files come from: made (`sample`), downloaded (`data.gouv`), or a folder somebody has.

Whatever the source, what comes out is the same: published-form files, by year.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accidents.data.sources.year_files import YearFiles, find_years
from accidents.did_you_mean import nearest
from accidents.errors import SourceError

__all__ = ["SOURCES", "UNKNOWN", "YearFiles", "fetch", "find_years"]

SOURCES = ("sample", "data.gouv")
UNKNOWN = "unknown source"  # of files that are known by their version alone


def fetch(
    source: str,
    years: Sequence[int],
    folder: Path,
    *,
    refresh: bool = False,
    sample: Mapping[str, Any] | None = None,
) -> dict[int, YearFiles]:
    """Have the raw files of `years` from a source.

    Parameters
    ----------
    source : `sample`, `data.gouv`, or the path of a folder with published files.
    folder : files that are made or downloaded are put below `folder/SOURCE/YEAR`, so that made and real ones
        never mix. Not used if the source is a path.
    refresh : ask data.gouv.fr whether files already downloaded have changed.
    sample : what `write_sample` is told: `accidents_per_year`, `seed`, `drift`.

    Raises
    ------
    SourceError
        If the source is not known or cannot give those years.
    """
    # Imported on use: who only reads tables need not load an HTTP client.
    if source == UNKNOWN:
        raise SourceError(
            "Where the champion's files came from is not known, as it was trained with --data-version. Give "
            f"--source: {', '.join(SOURCES)}, or a folder."
        )
    if source == "sample":
        from accidents.data.sources.sample import write_sample

        return write_sample(folder / source, years, **(sample or {}))
    if source == "data.gouv":
        from accidents.data.sources.datagouv_download import download

        return download(folder / source, years, refresh=refresh)
    from accidents.data.sources.folder import open_folder

    return open_folder(_existing(source), years)


def _existing(source: str) -> Path:
    """Return the folder a source names. Raises SourceError, with the nearest there is, if it is not one."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise SourceError(f"--source {source} is a file. Give the folder it is in: {path.parent}")
    near = nearest(source, _possible(path))
    hint = f"Did you mean {near}?" if near else "Check the spelling of the path."
    raise SourceError(
        f"--source {source!r} is neither a known word ({', '.join(SOURCES)}) nor a folder there is. {hint}"
    )


def _possible(path: Path) -> list[str]:
    """Return what could have been meant: the known words, and the folders beside."""
    if not path.parent.is_dir():
        return [*SOURCES]
    return [*SOURCES, *(str(beside) for beside in sorted(path.parent.iterdir()) if beside.is_dir())]
