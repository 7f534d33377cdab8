"""Checked tables that steps hand on in place of data: accidents/data/partition_files.py."""

from __future__ import annotations

from accidents.data.partition_files import TablePart, is_finished, read_quality
from accidents.data.quality import QualityReport
from accidents.errors import SourceError
from accidents.strict import Strict
from engine.settings import DaskSettings


class PartitionedTables(Strict):
    """Checked tables at an address: accidents/data/partition_files.py."""

    address: str
    version: str
    parts: tuple[TablePart, ...]
    dask: DaskSettings

    def __len__(self) -> int:
        """How many accidents."""
        return sum(part.accidents for part in self.parts)

    def require(self) -> None:
        """Raise SourceError if a partition is gone: a cached run remembers where they were."""
        gone = [part.name for part in self.parts if not is_finished(self.address, part.name)]
        if gone:
            raise SourceError(
                f"{self.address}: {len(gone)} of {len(self.parts)} partitions are gone, such as {gone[0]}. "
                "If a run has made them, run again with --no-cache, which writes them anew, and with a "
                "`dask.folder` that all steps see; if they are your own, bring them back."
            )

    @property
    def quality(self) -> QualityReport:
        """What reading found, in the order of the partitions."""
        return read_quality(self.address, self.parts)
