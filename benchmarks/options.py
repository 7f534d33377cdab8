"""What every benchmark is told, and the files it may read."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

from accidents.errors import AccidentsError

FULL_YEAR = 60_000  # accidents of a full-size sample year; real ones have 50,000 to 87,000
REAL_2018 = 57_783  # accidents of the real year that most is measured on


class SkippedError(AccidentsError):
    """A benchmark cannot run here; the message says what it lacks."""


@dataclass(frozen=True)
class Options:
    """`baac`: folder of the real files, which may not be there; `quick`: a small version, to see it work."""

    baac: Path
    quick: bool = False

    def real(self, year: int) -> Path | None:
        """Return the folder of a real year, None where it is not here."""
        folder = self.baac / str(year)
        return folder.resolve() if folder.is_dir() else None

    def must_have(self, year: int) -> Path:
        """Return the folder of a real year. Raises SkippedError where it is not here."""
        folder = self.real(year)
        if folder is None:
            raise SkippedError(
                f"it needs the real files of {year}, and there are none: give their folder with --baac"
            )
        return folder


@functools.cache
def _kept(years: tuple[int, ...], accidents: int) -> tempfile.TemporaryDirectory[str]:
    from accidents.data.sources.sample import write_sample

    folder = tempfile.TemporaryDirectory(prefix="sample-")
    write_sample(Path(folder.name), years, accidents)
    return folder


def sample(years: tuple[int, ...], accidents: int) -> Path:
    """Return a folder of sample years, written once and gone when this process ends."""
    return Path(_kept(years, accidents).name)
