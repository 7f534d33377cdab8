"""Past years as if they arrived: what would have been decided, and the picture of it."""

from typing import Annotated, Any

import pandas as pd
from zenml import step
from zenml.client import Client

from accidents.params import Params
from accidents.replay.replayed_models import Setup
from accidents.replay.walk import replay
from accidents.reports.replay import write_replay
from steps.data.validate_data import kinds_of_columns
from steps.folder import Folder


# Never from the cache, whose key does not know the settings of the stack's data validator.
@step(enable_cache=False)
def replay_months(
    rows: pd.DataFrame, data_facts: dict[str, Any], params: Params
) -> tuple[Annotated[Folder, "replay"], Annotated[dict[str, Any], "records"]]:
    """replay.json, also as a value, replay.csv, replay.png and report.html."""
    setup = Setup(
        params=params,
        source=data_facts["source"],
        synthetic=data_facts["synthetic"],
        # The command refuses stacks without one; which one it is, the step need not know.
        validator=Client().active_stack.data_validator,
        columns=kinds_of_columns(params.stage),
    )
    folder = Folder.temporary("replay-")
    replayed = replay(rows, setup)
    write_replay(folder.path, replayed)
    return folder, replayed.model_dump(mode="json")
