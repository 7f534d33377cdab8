"""What reading repaired, blanked and dropped, as a page."""

from typing import Annotated

from zenml import step

from accidents.data.table_files import load_tables
from accidents.reports.quality import write_quality
from engine.table_partitions import PartitionedTables
from steps.folder import Folder


@step
def report_quality(tables: Folder | PartitionedTables) -> Annotated[Folder, "quality_report"]:
    """quality_report.html and .csv."""
    if isinstance(tables, PartitionedTables):
        tables.require()
        quality, accidents = tables.quality, len(tables)
    else:
        loaded, quality = load_tables(tables.path)
        accidents = len(loaded.accidents)
    folder = Folder.temporary("quality-")
    write_quality(folder.path, quality, accidents)
    return folder
