"""The work of `python run.py --pipeline inference` as plain function calls: no pipeline, no ZenML store.

The calls are those of the steps' bodies. Evidently's validator is a ZenML component, so ZenML is imported;
how long that takes is told apart.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any


def score_year(bundle: str, given: str, reasons: str) -> dict[str, float]:
    """Seconds of the work, importing what it needs included, and of importing ZenML.

    Parameters
    ----------
    bundle : the model's folder. given : a folder with the published files of a year.
    reasons : which accidents are explained: all, alerts or none.
    """
    started = time.perf_counter()
    import numpy as np
    import pandas as pd

    from accidents.bundle import load_bundle
    from accidents.params import DataSettings
    from accidents.reports.prediction_files import summary, write_report
    from accidents.scoring.batch import read_input
    from accidents.scoring.score import input_features, score

    importing = time.perf_counter()
    from benchmarks.drift_windows import validator
    from steps.data.validate_data import kinds_of_columns

    importing = time.perf_counter() - importing
    intake, loaded = read_input(given, DataSettings()), load_bundle(Path(bundle))
    features = input_features(intake, loaded.stage)
    reference = pd.read_parquet(loaded.folder / "reference.parquet")
    drift = validator().data_validation(features, reference, **kinds_of_columns(loaded.stage))
    explained: Any = reasons
    predictions = score(loaded, features, intake.rows, "plain", "1", explained)
    figures = summary(
        intake, predictions, features["severe"].to_numpy(dtype=np.float32), loaded, drift.to_dict(),
        {"name": "plain", "version": "1"}, 500,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "drift.html").write_text(drift.html, encoding="utf-8")
        write_report(Path(folder), figures, intake, predictions)
    return {"work": time.perf_counter() - started - importing, "importing": importing}
