"""The pictures that a person would rather look at than read."""

from typing import Annotated, Any

import numpy as np
import pandas as pd
from zenml import step

from accidents.bundle import Bundle, load_bundle
from accidents.evaluation.results import Results
from steps.folder import Folder
from steps.support.rows import Rows, columns_of, rows_at

EXPLAINED = 1_000  # accidents in the SHAP pictures: more look the same and take long


@step
def draw_reports(
    bundle: Folder,
    test_rows: Rows,
    test_predictions: pd.DataFrame,
    results: dict[str, Any],
    seed: int,
) -> Annotated[Folder, "reports"]:
    """One PNG a picture, and the model card around them; the decision is not known yet."""
    # With matplotlib, which a training whose steps are cached does not wait for.
    from accidents.reports import figures
    from accidents.reports.card import write_card
    from accidents.reports.maps import severity_map

    loaded, judged = load_bundle(bundle.path), Results.from_dict(results)
    severe, predicted = test_predictions["severe"].to_numpy(), test_predictions["model"].to_numpy()
    scores = {
        str(name): column.to_numpy()
        for name, column in test_predictions.drop(columns=["accident_id", "severe"]).items()
    }
    where = columns_of(test_rows, ["latitude", "longitude"])
    place = where["latitude"].to_numpy(), where["longitude"].to_numpy()
    pictures = {
        "roc_and_pr": figures.roc_and_pr(severe, scores),
        "calibration": figures.calibration(severe, predicted),
        "lift": figures.lift(severe, scores, judged.model.budget),
        "slices": figures.slices(judged.slices),
        "map": severity_map(*place, severe, predicted),
        **_explained(loaded, test_rows, seed),
    }
    folder = Folder.temporary("reports-")
    drawn = {name: figures.png(picture) for name, picture in pictures.items()}
    for name, content in drawn.items():
        (folder / f"{name}.png").write_bytes(content)
    write_card(folder.path, loaded.facts, judged, pictures=drawn)
    return folder


def _explained(bundle: Bundle, rows: Rows, seed: int) -> dict[str, Any]:
    """Feature importance (mean |SHAP|) and the SHAP summary of the model that was judged, on a sample."""
    from accidents.reports import figures

    chosen = pd.Series(np.arange(len(rows))).sample(min(EXPLAINED, len(rows)), random_state=seed)
    sample = rows_at([rows], chosen.to_numpy())
    matrix, judged = sample[bundle.features].to_numpy(np.float32), bundle.judged
    shap = judged.contributions(matrix)[:, :-1]
    values, columns = judged.inputs(matrix), judged.columns
    strength = dict(zip(columns, np.abs(shap).mean(axis=0), strict=True))
    return {
        "importance": figures.importance(strength),
        "shap_summary": figures.shap_summary(shap, values, columns, seed),
    }
