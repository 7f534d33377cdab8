"""Others' protocol: a course project's joined rows of 2021, its own random split, its own columns.

    python -m benchmarks.others_protocol --baac ../shared/baac

For comparison only. The file keeps, for each accident, one of its worst-hurt users, so the row (age, seat,
equipment, vehicle) is chosen by the label: none of these figures says what a control room could expect. The
threshold is the one of best accuracy on out-of-fold predictions of the training part.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from accidents.training.place_encoder import PlaceEncoder, cross_fit

SEED, FOLDS = 7, 5
Floats = npt.NDArray[np.float32]


def read(baac: Path) -> pd.DataFrame:
    """Return the file, one row per accident."""
    return pd.read_csv(baac / "processed" / "2021_worst_user_per_accident.csv.gz", low_memory=False)


def fit_predict(train: pd.DataFrame, test: pd.DataFrame) -> npt.NDArray[np.float64]:
    """P(severe) of the test rows, float64 [n]: the mean of four boosters of two kinds, as in the product."""
    columns = [c for c in train if c not in ("grav_binary", "split", "year_acc")]
    label = train["grav_binary"].to_numpy(np.float32)
    encoder = PlaceEncoder.fit(_place(train), label)
    later = np.hstack([test[columns].to_numpy(np.float32), encoder.transform(_place(test))])
    predicted = np.zeros(len(test))
    for bag in range(4):
        seed, at_random = SEED + bag, bag % 2 == 1
        x = np.hstack([train[columns].to_numpy(np.float32), cross_fit(_place(train), label, seed)])
        model = LGBMClassifier(
            n_estimators=300, learning_rate=0.1 if at_random else 0.05, extra_trees=at_random, num_leaves=31,
            min_child_samples=40, colsample_bytree=0.5, subsample=0.8, subsample_freq=1, reg_lambda=5.0,
            random_state=seed, n_jobs=1, verbose=-1, deterministic=True, force_row_wise=True,
        )  # fmt: skip
        predicted += model.fit(x, label).predict_proba(later)[:, 1] / 4
    return predicted


def best_threshold(train: pd.DataFrame) -> tuple[float, float]:
    """Thresholds of best accuracy and of best F1, on out-of-fold predictions of the training part."""
    fold = np.random.default_rng(SEED).permutation(len(train)) % FOLDS
    predicted = np.empty(len(train))
    for k in range(FOLDS):
        predicted[fold == k] = fit_predict(train[fold != k], train[fold == k])
    label, steps = train["grav_binary"].to_numpy(), np.linspace(0.2, 0.8, 121)
    accuracy = [accuracy_score(label, predicted >= t) for t in steps]
    f1 = [f1_score(label, predicted >= t) for t in steps]
    return float(steps[int(np.argmax(accuracy))]), float(steps[int(np.argmax(f1))])


def _place(frame: pd.DataFrame) -> Floats:
    return frame[["lat", "long", "dep", "com"]].to_numpy(np.float32)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baac", type=Path, default=Path("../shared/baac"), help="folder of real files")
    rows = read(parser.parse_args().baac)
    train, test = rows[rows["split"] == "train"], rows[rows["split"] == "test"]
    thresholds = best_threshold(train)
    label, predicted = test["grav_binary"].to_numpy(), fit_predict(train, test)
    auc, pr_auc = roc_auc_score(label, predicted), average_precision_score(label, predicted)
    print(f"ROC-AUC {auc:.4f}, PR-AUC {pr_auc:.4f}")
    print("\n| threshold chosen on training rows for | threshold | accuracy | F1 |\n|---|---|---|---|")
    for aim, t in zip(("accuracy", "F1"), thresholds, strict=True):
        accuracy, f1 = accuracy_score(label, predicted >= t), f1_score(label, predicted >= t)
        print(f"| best {aim} | {t:.3f} | {accuracy:.4f} | {f1:.4f} |")


if __name__ == "__main__":
    main()
