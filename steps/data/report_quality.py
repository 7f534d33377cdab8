"""What reading repaired, blanked and dropped, as a page."""

from typing import Annotated

from zenml import step

from accidents.data.table_files import load_tables
from accidents.reports.quality import write_quality
from steps.folder import Folder


@step
def report_quality(tables: Folder) -> Annotated[Folder, "quality_report"]:
    """quality_report.html and .csv."""
    loaded, quality = load_tables(tables.path)
    folder = Folder.temporary("quality-")
    write_quality(folder.path, quality, len(loaded.accidents))
    return folder
