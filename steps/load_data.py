"""Raw files to checked tables."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

from zenml import step

from accidents.data import have_raw, prepare, save_tables
from accidents.reports.quality import write_quality
from accidents.settings import DataSettings
from steps.folder import Folder


@step
def load_data(
    data: DataSettings, raw_version: str
) -> tuple[
    Annotated[Folder, "tables"],
    Annotated[Folder, "quality_report"],
    Annotated[dict[str, Any], "data_facts"],
]:
    """Have the raw files, version them with DVC, read and check them.

    `raw_version` is the DVC hash of the files as they are now: cached tables are used only if it is the same.
    """
    raw = have_raw(data)
    tables, quality = prepare(raw)
    folder = Path(tempfile.mkdtemp(prefix="tables-"))
    save_tables(folder, tables, quality)
    report = Path(tempfile.mkdtemp(prefix="quality-"))
    write_quality(report, quality, len(tables.accidents))
    facts = {
        "version": raw.version,
        "synthetic": raw.synthetic,
        "source": data.source,
        "years": sorted(raw.years),
        "warnings": quality.warnings(),
    }
    return Folder(folder), Folder(report), facts
