"""The bundle as an MLflow model (models from code, so nothing is pickled): `mlflow models serve` serves it.

One request row is one accident's features, named as in the signature; null is missing.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from accidents.bundle import load_bundle


class BundleModel(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined,misc]  # a lazy module
    """Loads the bundle once, checked against its manifest, and predicts P(severe)."""

    def load_context(self, context: Any) -> None:
        """Load the bundle that MLflow kept as an artifact.

        Raises BundleError if it is not the one that was logged: the manifest is in its own folder, and may be
        edited together with a file.
        """
        self.bundle = load_bundle(Path(context.artifacts["bundle"]), context.model_config["digest"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> np.ndarray:
        """P(severe) of each row; columns may come in any order, and one that does not come is missing."""
        return self.bundle.predict(model_input.reindex(columns=self.bundle.features).to_numpy(np.float32))


mlflow.models.set_model(BundleModel())
