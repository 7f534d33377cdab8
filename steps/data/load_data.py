"""Raw files to checked tables."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

from zenml import step

from accidents.data.dataset import have_raw, prepare
from accidents.data.sources.settings import DataSettings
from accidents.data.table_files import save_tables
from accidents.errors import SourceError
from steps.folder import Folder


@step
def load_data(
    data: DataSettings, raw_version: str
) -> tuple[Annotated[Folder, "tables"], Annotated[dict[str, Any], "data_facts"]]:
    """Have the raw files, version them with DVC, read and check them.

    `raw_version` is the DVC hash of the files that the run was promised; other files stop it.
    """
    raw = have_raw(data)
    if raw.version != raw_version:
        raise SourceError(
            f"The raw files have changed since the run began: it was promised {raw_version}, now they are "
            f"{raw.version}. Run it again."
        )
    tables, quality = prepare(raw)
    folder = Path(tempfile.mkdtemp(prefix="tables-"))
    save_tables(folder, tables, quality)
    facts = {
        "version": raw.version,
        "synthetic": raw.synthetic,
        "source": data.source,
        "years": sorted(raw.years),
        "warnings": quality.warnings(),
    }
    return Folder(folder), facts
