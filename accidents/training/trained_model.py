"""The model: learnt neighbourhoods, LightGBM trees, calibration. Plain files, no pickle.

Loading and predicting need numpy and LightGBM's shared library only, explaining needs numba too.
"""

from __future__ import annotations

import importlib.util
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from accidents.errors import BundleError, DataError
from accidents.lightgbm.booster import Booster
from accidents.lightgbm.quick_scorer import FastTrees
from accidents.lightgbm.shap_values import Explainer
from accidents.training.calibration import BetaCalibration
from accidents.training.place_encoder import NAMED, PLACE, PlaceEncoder

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 2
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


class Model:
    """P(severe) from the features of a stage.

    Attributes
    ----------
    stage : "dispatch" or "on_scene".
    features : names of the columns that `predict_matrix` takes, in order.
    columns : what the trees see: the features but for names of places, and what the encoder says of those.
    """

    def __init__(
        self,
        stage: str,
        features: tuple[str, ...],
        encoder: PlaceEncoder,
        booster: Booster,
        calibration: BetaCalibration,
        bags: int,
    ) -> None:
        self.stage, self.features, self.bags = stage, features, bags
        self.encoder, self.booster, self.calibration = encoder, booster, calibration
        self.columns = tree_columns(features)
        self._layout = Layout(features)

    def predict_proba(self, frame: pd.DataFrame) -> Doubles:
        """Calibrated P(severe) of the rows of a `build_features` frame, float64 [n]."""
        return self.predict_matrix(matrix_of(frame, self.features))

    def predict_matrix(self, matrix: Floats) -> Doubles:
        """Calibrated P(severe) of a float32 matrix [n, len(features)]; missing is NaN; float64 [n].

        Raises DataError for another number of columns.
        """
        return self.probabilities(self.booster.score(self.inputs(matrix)))

    def predict_many(self, matrix: Floats) -> Doubles:
        """`predict_matrix`, several times as fast from some dozen rows on, and equal to the last bit."""
        if self.fast_trees is None:
            return self.predict_matrix(matrix)
        return self.probabilities(self.fast_trees.score(self.inputs(matrix)))

    @cached_property
    def fast_trees(self) -> FastTrees | None:
        """The trees laid out for many rows; None without numba, or if they are too large for it."""
        if importlib.util.find_spec("numba") is None:
            return None
        try:
            return FastTrees(self.booster.text)
        except BundleError:
            return None

    def probabilities(self, scores: Doubles) -> Doubles:
        """Calibrated P(severe) of the trees' raw scores, float64 [n]."""
        return self.calibration.apply(1 / (1 + np.exp(-scores / self.bags)))

    def uncalibrated(self, matrix: Floats) -> Doubles:
        """Return what the calibration takes: the mean score of the bags as a probability, float64 [n]."""
        return 1 / (1 + np.exp(-self.booster.score(self.inputs(matrix)) / self.bags))

    def calibrated_by(self, calibration: BetaCalibration) -> Model:
        """Return the same trees and places with another calibration."""
        return Model(self.stage, self.features, self.encoder, self.booster, calibration, self.bags)

    def contributions(self, matrix: Floats) -> Doubles:
        """SHAP values in log-odds before calibration, float64 [n, len(columns) + 1]; last: expected score."""
        contributions: Doubles = self.explainer.contributions(self.inputs(matrix)) / self.bags
        return contributions

    def explain(self, matrix: Floats) -> tuple[Doubles, Doubles]:
        """`predict_matrix`, to 1e-12, and `contributions`, in one walk through the trees."""
        contributions = self.contributions(matrix)
        return self.probabilities(contributions.sum(axis=1) * self.bags), contributions

    @cached_property
    def explainer(self) -> Explainer:
        """Explains the trees; made on first use, which takes a second, so a server asks for it at start."""
        return Explainer(self.booster.text)

    def inputs(self, matrix: Floats) -> Floats:
        """Return what the trees see of a matrix [n, len(features)], float32 [n, len(columns)]."""
        matrix = np.asarray(matrix, dtype=np.float32)
        if matrix.ndim != 2 or matrix.shape[1] != len(self.features):
            raise DataError(
                f"The model takes {len(self.features)} features, not a matrix of shape {matrix.shape}."
            )
        return self._layout.join(matrix, self.encoder.transform(self._layout.place(matrix)))

    def save(self, folder: Path) -> None:
        """Write the model as plain files into an existing folder: same training, same bytes."""
        facts = {"format": _FORMAT, "stage": self.stage, "bags": self.bags, "features": self.features}
        _write_json(folder / "model.json", facts)
        _write_json(folder / "calibration.json", self.calibration.to_dict())
        (folder / "trees.txt").write_text(self.booster.text, encoding="utf-8", newline="\n")
        self.encoder.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Read what `save` wrote. Raises BundleError if a file is missing or of another format."""
        try:
            facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            if facts["format"] != _FORMAT:
                raise BundleError(f"{folder}: model format {facts['format']}, this version reads {_FORMAT}.")
            booster = Booster((folder / "trees.txt").read_text(encoding="utf-8"))
            calibration = BetaCalibration.from_dict(
                json.loads((folder / "calibration.json").read_text("utf-8"))
            )
            encoder = PlaceEncoder.load(folder)
            features, stage, bags = tuple(facts["features"]), str(facts["stage"]), int(facts["bags"])
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{folder} is no complete model: {error}. Train it again.") from error
        if booster.features != len(tree_columns(features)):
            raise BundleError(f"{folder}: the trees and the list of features do not fit. Train it again.")
        return cls(stage, features, encoder, booster, calibration, bags)


class Layout:
    """Where in a feature matrix the place is, and what goes to the trees as it stands."""

    def __init__(self, features: tuple[str, ...]) -> None:
        self._place = [features.index(name) for name in PLACE]
        self._kept = [k for k, name in enumerate(features) if name not in NAMED]

    def place(self, matrix: Floats) -> Floats:
        """Return the columns `PLACE`."""
        return matrix[:, self._place]

    def join(self, matrix: Floats, encoded: Floats) -> Floats:
        """Return what the trees see, from all features and what the encoder says of their places."""
        return np.concatenate([matrix[:, self._kept], encoded], axis=1)


def tree_columns(features: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the columns the trees see for a matrix of `features`."""
    return (*(name for name in features if name not in NAMED), *PlaceEncoder.columns)


def matrix_of(frame: pd.DataFrame, names: tuple[str, ...]) -> Floats:
    """Features float32 [n, len(names)] of a frame. Raises DataError for those that are not there."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"The features {', '.join(missing)} are missing: build them for this stage first.")
    return frame[list(names)].to_numpy(dtype=np.float32)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")
