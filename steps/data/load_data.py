"""Raw files to checked tables."""

import os
from typing import Annotated, Any

from zenml import step

from accidents.data.dataset import DVC_REMOTE, prepare, raw_of, source_of
from accidents.data.sources.settings import DataSettings
from accidents.data.table_files import save_tables
from engine.preparation import tables_of
from engine.settings import DaskSettings
from engine.table_partitions import PartitionedTables
from steps.folder import Folder
from steps.support.cluster_report import on_cluster


@step
def load_data(
    data: DataSettings, raw_version: str, dask: DaskSettings | None = None
) -> tuple[Annotated[Folder | PartitionedTables, "tables"], Annotated[dict[str, Any], "data_facts"]]:
    """Have the raw files, read and check them.

    `raw_version` is the DVC hash of the files that the run was promised; it gets those, or none. With `dask`,
    the tables stay in partitions.
    """
    raw = raw_of(raw_version, data, remote=os.environ.get(DVC_REMOTE))
    made: Folder | PartitionedTables
    if dask is not None:
        with on_cluster(dask):
            made = tables_of(raw, data.years, dask)
        quality = made.quality
    else:
        tables, quality = prepare(raw, data.years)
        made = Folder.temporary("tables-")
        save_tables(made.path, tables, quality)
    facts = {
        "version": raw.version,
        "synthetic": raw.synthetic,
        "source": source_of(raw, data),
        "warnings": quality.warnings(),
    }
    return made, facts
