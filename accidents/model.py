"""The model: learnt neighbourhoods, LightGBM trees, calibration. Plain files, no pickle.

Training uses LightGBM through scikit-learn's API. Loading and predicting need numpy and LightGBM's shared
library only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from accidents.booster import Booster
from accidents.calibration import BetaCalibration
from accidents.encoding import PlaceEncoder, cross_fit
from accidents.errors import BundleError, DataError
from accidents.features import feature_names, features_of

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = 1
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


class ModelSettings(BaseModel):
    """Hyper-parameters; the defaults are what docs/features.md settles on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_estimators: int = Field(default=600, ge=1, le=5000)
    learning_rate: float = Field(default=0.03, gt=0, le=1)
    num_leaves: int = Field(default=31, ge=2, le=1024)
    min_child_samples: int = Field(default=40, ge=1)
    colsample_bytree: float = Field(default=0.5, gt=0, le=1)
    subsample: float = Field(default=0.8, gt=0, le=1)
    reg_lambda: float = Field(default=5.0, ge=0)
    monotone: bool = True
    n_jobs: int = Field(default=2, ge=1)


class Model:
    """P(severe) from the features of a stage.

    Attributes
    ----------
    stage : "dispatch" or "on_scene".
    features : names of the columns that `predict_matrix` takes, in order.
    columns : what the trees see: `features` followed by what the encoder adds.
    """

    def __init__(
        self, stage: str, features: tuple[str, ...], encoder: PlaceEncoder, booster: Booster, calibration: BetaCalibration
    ) -> None:
        self.stage, self.features = stage, features
        self.encoder, self.booster, self.calibration = encoder, booster, calibration
        self.columns = (*features, *encoder.columns)
        self._place = (features.index("latitude"), features.index("longitude"))

    def predict_proba(self, frame: pd.DataFrame) -> Doubles:
        """Calibrated P(severe) of the rows of a `build_features` frame, float64 [n]."""
        return self.predict_matrix(_matrix(frame, self.features))

    def predict_matrix(self, matrix: Floats) -> Doubles:
        """Calibrated P(severe) of a float32 matrix [n, len(features)]; missing is NaN; float64 [n]."""
        return self.calibration.apply(_sigmoid(self.booster.score(self._encode(matrix))))

    def contributions(self, matrix: Floats) -> Doubles:
        """SHAP values in log-odds before calibration, float64 [n, len(columns) + 1]; last: expected score."""
        return self.booster.contributions(self._encode(matrix))

    def inputs(self, matrix: Floats) -> Floats:
        """What the trees see of a matrix as `predict_matrix` takes it: float32 [n, len(columns)]."""
        return self._encode(matrix)

    def save(self, folder: Path) -> None:
        """Write the model as plain files into an existing folder: same training, same bytes."""
        facts = {"format": _FORMAT, "stage": self.stage, "features": self.features}
        (folder / "model.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        (folder / "trees.txt").write_text(self.booster.text, encoding="utf-8")
        calibration = json.dumps(self.calibration.to_dict(), indent=1)
        (folder / "calibration.json").write_text(calibration + "\n", encoding="utf-8")
        self.encoder.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Read what `save` wrote. Raises BundleError if a file is missing or of another format."""
        try:
            facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            if facts["format"] != _FORMAT:
                raise BundleError(f"{folder}: model format {facts['format']}, this version reads {_FORMAT}.")
            booster = Booster((folder / "trees.txt").read_text(encoding="utf-8"))
            calibration = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
            encoder = PlaceEncoder.load(folder)
        except (OSError, ValueError, KeyError) as error:
            raise BundleError(f"{folder} is no complete model: {error}. Train it again.") from error
        return cls(facts["stage"], tuple(facts["features"]), encoder, booster, BetaCalibration.from_dict(calibration))

    def _encode(self, matrix: Floats) -> Floats:
        matrix = np.asarray(matrix, dtype=np.float32)
        if matrix.ndim != 2 or matrix.shape[1] != len(self.features):
            raise DataError(f"The model takes {len(self.features)} features, not a matrix of shape {matrix.shape}.")
        latitude, longitude = self._place
        return np.hstack([matrix, self.encoder.transform(matrix[:, latitude], matrix[:, longitude])])


def train(
    train: pd.DataFrame, calibration: pd.DataFrame, settings: ModelSettings, stage: str, seed: int
) -> Model:
    """Train on one part, calibrate on another (both as `build_features` gives them; unlabelled rows are left out).

    Raises
    ------
    DataError
        If the training part has no labelled rows or only one class.
    """
    names = feature_names(stage)
    labelled = train[train["severe"].notna()]
    label = labelled["severe"].to_numpy(dtype=np.float32)
    if len(label) == 0 or label.min() == label.max():
        raise DataError("The training years hold no label, or only one class: choose years with a usagers file.")
    matrix = _matrix(labelled, names)
    place = matrix[:, names.index("latitude")], matrix[:, names.index("longitude")]
    encoder = PlaceEncoder.fit(*place, label)
    booster = _boost(np.hstack([matrix, cross_fit(*place, label, seed)]), label, settings, stage, seed)
    model = Model(stage, names, encoder, booster, BetaCalibration())
    held_out = calibration[calibration["severe"].notna()]
    if len(held_out):
        model.calibration = BetaCalibration.fit(
            model.predict_matrix(_matrix(held_out, names)), held_out["severe"].to_numpy(dtype=np.float64)
        )
    return model


def _boost(x: Floats, y: Floats, settings: ModelSettings, stage: str, seed: int) -> Booster:
    from lightgbm import LGBMClassifier

    options = settings.model_dump(exclude={"monotone"})
    rises = [feature.rises for feature in features_of(stage)] + [0] * len(PlaceEncoder.columns)
    classifier = LGBMClassifier(
        **options, subsample_freq=1, random_state=seed, deterministic=True, force_row_wise=True, verbose=-1,
        monotone_constraints=rises if settings.monotone else None,
    )  # fmt: skip
    return Booster(classifier.fit(x, y).booster_.model_to_string())


def _matrix(frame: pd.DataFrame, names: tuple[str, ...]) -> Floats:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"The features {', '.join(missing)} are missing: build them for this stage first.")
    return frame[list(names)].to_numpy(dtype=np.float32)


def _sigmoid(score: Doubles) -> Doubles:
    result: Doubles = 1 / (1 + np.exp(-score))
    return result

