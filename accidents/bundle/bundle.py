"""The bundle: a trained model as plain files, no pickle, with a SHA-256 manifest that loading checks.

    bundle.json        what it is: name, stage, features, budget and its threshold, where it came from
    features.json      the declaration of every feature
    model/             LightGBM trees as text, what the encoder learnt, the calibration
    judged/            the same of the model that was judged, where model/ is its refit (none before 0.4)
    reference.parquet  the sample of training rows that drift is measured against
    holdout.parquet    labels and probabilities of test rows: what the model promised (none before 0.3)
    model_card.md      the model card
    questions.json     what can be asked, with typical answers (none before 0.4)
    manifest.json      the SHA-256 of every other file

Loading and predicting need neither pandas nor scikit-learn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accidents.bundle.questions import Questions
from accidents.errors import BundleError
from accidents.features.features_by_stage import Feature, features_of
from accidents.files import whole_folder
from accidents.training.trained_model import Model
from accidents.vocabulary.bands import DEFAULT_BANDS, check_bands

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
MANIFEST = "manifest.json"
HOLDOUT = "holdout.parquet"
JUDGED = "judged"


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle.

    Attributes
    ----------
    folder : where its files are.
    model : predicts P(severe) from a float32 matrix whose columns are `features`.
    facts : the content of bundle.json.
    digest : SHA-256 of the manifest: two bundles with one digest are the same, byte for byte.
    """

    folder: Path
    model: Model
    facts: dict[str, Any]
    digest: str

    @property
    def stage(self) -> str:
        """What is known when the model is asked."""
        return str(self.facts["stage"])

    @property
    def identity(self) -> str | None:
        """What it was made from, see accidents.bundle.provenance; bundles of before 0.4 do not say."""
        return self.facts.get("identity")

    @property
    def features(self) -> list[str]:
        """Names of the features, in the order of the model's columns."""
        return list(self.facts["features"])

    @property
    def threshold(self) -> float:
        """Probability from which an accident falls in the alert budget."""
        return float(self.facts["threshold"])

    @property
    def bands(self) -> Mapping[str, float]:
        """Lower edge of P(severe) of each band; bundles of before 0.2 have none of their own."""
        return check_bands(self.facts.get("bands", DEFAULT_BANDS))

    @cached_property
    def judged(self) -> Model:
        """The model that the figures are of and that other candidates are compared with."""
        folder = self.folder / JUDGED
        return Model.load(folder) if folder.is_dir() else self.model

    @property
    def judged_learnt_from(self) -> list[str]:
        """The months that `judged` learnt from: a refit has seen its test part, too."""
        return list(self.facts.get("judged", self.facts)["learnt_from"])

    @cached_property
    def questions(self) -> Questions:
        """What can be asked about an accident."""
        return Questions.read(self.folder, self.features)

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """P(severe) of each row of a float32 matrix [n, len(features)]; missing is NaN."""
        return self.model.predict_matrix(matrix)


def write_bundle(
    folder: Path,
    model: Model,
    facts: Mapping[str, Any],
    reference: pd.DataFrame,
    card: str,
    holdout: pd.DataFrame | None = None,
    judged: Model | None = None,
) -> Bundle:
    """Write a bundle, whole or not at all, and load it back.

    Parameters
    ----------
    folder : the new bundle's folder; one that is there is replaced.
    facts : JSON-ready; `name`, `stage` and `threshold` are required.
    reference : the sample of training rows, as `build_features` gives them.
    card : the model card in Markdown.
    holdout : test rows, columns year, month, severe, p_severe.
    judged : the model that was judged, where `model` is its refit.
    """
    missing = {"name", "stage", "threshold"} - set(facts)
    if missing:
        raise BundleError(f"A bundle needs {sorted(missing)} among its facts.")
    with whole_folder(folder) as part:
        (part / "model").mkdir()
        model.save(part / "model")
        if judged is not None:
            (part / JUDGED).mkdir()
            judged.save(part / JUDGED)
        features = features_of(str(facts["stage"]))
        names = [feature.name for feature in features]
        _write_json(part / "bundle.json", {"format": FORMAT, **facts, "features": names})
        _write_json(part / "features.json", [_declaration(feature) for feature in features])
        reference.to_parquet(part / "reference.parquet", index=False)
        known = reference[names].to_numpy(dtype=np.float32)
        Questions.draw(model.predict_many, known, str(facts["stage"])).write(part)
        if holdout is not None:
            holdout.to_parquet(part / HOLDOUT, index=False)
        (part / "model_card.md").write_text(card, encoding="utf-8")
        _write_json(part / MANIFEST, {"format": FORMAT, "files": _hashes(part)})
    return load_bundle(folder)


def load_bundle(folder: Path, digest: str | None = None) -> Bundle:
    """Check every file against the manifest, then load.

    Parameters
    ----------
    digest : what whoever registered the bundle wrote down elsewhere. The manifest is in the folder itself:
        who alters both gets past the manifest, not past this.

    Raises
    ------
    BundleError
        Naming the file that is missing, altered, or not in the manifest; or if this is another bundle.
    """
    verify(folder)
    actual = _sha256(folder / MANIFEST)
    if digest is not None and actual != digest:
        raise BundleError(
            f"This is not the bundle that was registered: its digest is {actual[:12]}…, the registry "
            f"holds {digest[:12]}…. Do not use it; restore the artifact store, or train again."
        )
    facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    return Bundle(folder, Model.load(folder / "model"), facts, actual)


def verify(folder: Path) -> None:
    """Raise BundleError unless the folder holds exactly what its manifest says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed = dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise BundleError(
            f"{folder} is no bundle: {MANIFEST} is missing or unreadable. Train again."
        ) from None
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"{folder} has bundle format {manifest.get('format')}, this code reads {FORMAT}. Train again."
        )
    hashes = _hashes(folder)
    for name in sorted(listed.keys() | hashes.keys()):
        if hashes.get(name) != listed.get(name):
            what = "missing" if name not in hashes else "unknown" if name not in listed else "altered"
            raise BundleError(
                f"{folder / name} is {what}: do not use this bundle; fetch it again or train again."
            )


def _declaration(feature: Feature) -> dict[str, Any]:
    kept = ("name", "kind", "known_at", "description", "codes")
    return {key: getattr(feature, key) for key in kept}


def _hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(files)}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_json(path: Path, content: Any) -> None:
    path.write_text(
        json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )
