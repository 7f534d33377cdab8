"""Tables to one row of features per accident."""

from typing import Annotated

from zenml import step

from accidents import features
from accidents.data.table_files import load_tables
from engine.preparation import build_rows
from engine.table_partitions import PartitionedTables
from steps.folder import Folder
from steps.support.cluster_report import on_cluster
from steps.support.rows import Rows


@step
def build_features(tables: Folder | PartitionedTables, stage: str) -> Annotated[Rows, "accident_rows"]:
    """Compute the features that are known at `stage`."""
    if isinstance(tables, PartitionedTables):
        tables.require()
        with on_cluster(tables.dask):
            return build_rows(tables, stage)
    loaded, _ = load_tables(tables.path)
    return features.build_features(loaded, stage)
