"""Raw files to checked tables."""

import os
from typing import Annotated, Any

from zenml import step

from accidents.data.dataset import DVC_REMOTE, prepare, raw_of
from accidents.data.sources.settings import DataSettings
from accidents.data.table_files import save_tables
from steps.folder import Folder


@step
def load_data(
    data: DataSettings, raw_version: str
) -> tuple[Annotated[Folder, "tables"], Annotated[dict[str, Any], "data_facts"]]:
    """Have the raw files, read and check them.

    `raw_version` is the DVC hash of the files that the run was promised; it gets those, or none.
    """
    raw = raw_of(raw_version, data, remote=os.environ.get(DVC_REMOTE))
    tables, quality = prepare(raw)
    folder = Folder.temporary("tables-")
    save_tables(folder.path, tables, quality)
    facts = {
        "version": raw.version,
        "synthetic": raw.synthetic,
        "source": data.source,
        "years": sorted(raw.years),
        "warnings": quality.warnings(),
    }
    return folder, facts
