"""The champion with its calibration fitted again on the labels of a window."""

from typing import Annotated, Any

from zenml import step

from accidents.errors import DataError
from accidents.monitoring.performance import why_not_fitted
from accidents.monitoring.recalibration import recalibrate, write_recalibrated
from accidents.monitoring.window import Window, unlearnt
from accidents.params import Params
from steps.folder import Folder
from steps.support.references import VersionReference


@step
def recalibrate_model(
    champion: Folder, version: VersionReference, window: Folder, params: Params
) -> tuple[Annotated[Folder, "bundle"], Annotated[dict[str, Any], "judgement"]]:
    """Return a bundle, and whether it may replace the champion."""
    loaded = version.load(champion)
    looked_at = Window.load(window.path)
    labelled = unlearnt(looked_at, loaded)
    if labelled["severe"].nunique() < 2:
        raise DataError("The window has no labels of both outcomes that the champion has not learnt from.")
    if why := why_not_fitted(labelled, params.monitor, looked_at.facts.from_log):
        raise DataError(f"Nothing is calibrated: {why}. The next look decides on the labels as they are now.")
    made = recalibrate(loaded, labelled, version.version, params.gate_rules)
    folder = Folder.temporary("bundle-")
    write_recalibrated(folder.path, loaded, made)
    judgement = {**made.decision.to_dict(), **made.gates.to_dict(), "against": version.version}
    return folder, judgement
