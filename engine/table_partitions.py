"""Checked tables that steps hand on in place of data: accidents/data/partition_files.py."""

from __future__ import annotations

from accidents.data.partition_files import TablePart, read_quality
from accidents.data.quality import QualityReport
from engine.partitions import Frozen
from engine.settings import DaskSettings


class PartitionedTables(Frozen):
    """Checked tables at an address: accidents/data/partition_files.py."""

    address: str
    version: str
    parts: tuple[TablePart, ...]
    dask: DaskSettings

    def __len__(self) -> int:
        """How many accidents."""
        return sum(part.accidents for part in self.parts)

    @property
    def quality(self) -> QualityReport:
        """What reading found, in the order of the partitions."""
        return read_quality(self.address, self.parts)
