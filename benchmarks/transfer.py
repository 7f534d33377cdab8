"""What each choice of the model gains where it counts: on accidents of another time or another place.

    python -m benchmarks.transfer --baac ../shared/baac

Prints a Markdown table, ROC-AUC / PR-AUC of one choice at a time changed from the defaults. Never on random
folds: a choice that helps within a year may cost in the next (docs/features.md).

- "later months": trained on January to September 2018, tested on October to December.
- "2021": trained on 2018, tested on the joined file of 2021, with the features that both have. Its rows were
  chosen by the label: compare rows of the table, not columns.
- "another region": trained outside a fifth of all squares of 100 km, tested inside.
- "sample, changed": trained on the sample's 2021, tested on a 2022 in which a new kind of vehicle has come.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from accidents.data.reading import read_year, read_years
from accidents.data.sources.sample import write_sample
from accidents.data.sources.year_files import find_years
from accidents.features import build_features, feature_names
from accidents.progress import track
from accidents.training.fit_bags import ModelSettings, train
from benchmarks.others_protocol import read as read_2021
from benchmarks.real_2018 import SEED, region_folds

STAGE, BAGS = "dispatch", 2
JOINED = {"catr": "road_class", "circ": "layout", "surf": "surface", "lum": "light", "agg_": "built_up",
          "int": "junction", "hour": "hour", "lat": "latitude", "long": "longitude",
          "nb_vehicules": "vehicles"}  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """Settings that differ from the defaults, or what is done to the accidents that teach and test."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    place_prior: float = 20.0  # accidents of the coarser scale that a place's own are weighed against
    teach: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows
    both: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows


def _hidden(*names: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda rows: rows.assign(**dict.fromkeys(names, np.float32(np.nan)))


def _latest(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["month"] > rows["month"].max() - 6]


def _mostly_recent(rows: pd.DataFrame) -> pd.DataFrame:
    """Drawn so that an accident counts half of one six months later."""
    age = rows["month"].max() - rows["month"]
    return rows[np.random.default_rng(SEED).random(len(rows)) < 0.5 ** (age / 6)]


def _new_codes_unknown(rows: pd.DataFrame) -> pd.DataFrame:
    """Roads of a métropole (7) are 0.7 % of 2018 and 5 % of 2021."""
    return rows.assign(road_class=rows["road_class"].where(rows["road_class"] != 7))


CHOICES = (
    Choice("defaults"),
    Choice("all bags of one kind", {"two_kinds": False}),
    Choice("no monotone constraints", {"monotone": False}),
    Choice("nothing hidden in training", {"masked": 0.0}),
    Choice("eight bags", {"bags": 8}),
    Choice("15 leaves", {"num_leaves": 15}),
    Choice("100 accidents a leaf", {"min_child_samples": 100}),
    Choice("600 trees at 0.025", {"n_estimators": 600, "learning_rate": 0.025}),
    Choice("the latest six months only", teach=_latest),
    Choice("an accident counts half of one six months later", teach=_mostly_recent),
    Choice("places shrunk by 60 accidents, not 20", place_prior=60.0),
    Choice("no place", both=_hidden("latitude", "longitude", "department", "commune")),
    Choice("roads of a métropole (code 7) as unknown", both=_new_codes_unknown),
    Choice("without infrastructure and lanes", both=_hidden("infrastructure", "lanes")),
)


def protocols(baac: Path) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """(accidents that teach, accidents that test) by name."""
    tables, _ = read_year(find_years(baac / "2018")[2018])
    frame = build_features(tables, STAGE)
    late, elsewhere = (frame["month"] >= 10).to_numpy(), region_folds(frame) == 0
    joined = _joined(read_2021(baac))
    shared = list(JOINED.values())
    return {
        "later months": (frame[~late], frame[late]),
        "2021": (_only(frame, shared), _only(joined, shared)),
        "another region": (frame[~elsewhere], frame[elsewhere]),
        "sample, changed": (_sample(2021, "none"), _sample(2022, "new_vehicle")),
    }


def _sample(year: int, drift: str) -> pd.DataFrame:
    with tempfile.TemporaryDirectory(prefix="transfer-") as folder:
        tables, _ = read_years(write_sample(Path(folder), [year], 20_000, seed=SEED, drift=drift))
    return build_features(tables.validate(), STAGE)


def _joined(rows: pd.DataFrame) -> pd.DataFrame:
    features = rows[list(JOINED)].rename(columns=JOINED).astype(np.float32)
    return features.assign(severe=rows["grav_binary"].astype(np.float32), year=2021, month=rows["mois"])


def _only(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    kept = rows[[*names, "severe", "year", "month"]]
    return kept.assign(**{n: np.float32(np.nan) for n in feature_names(STAGE) if n not in names})


def measure(choice: Choice, teach: pd.DataFrame, test: pd.DataFrame, jobs: int) -> tuple[float, float]:
    """ROC-AUC and PR-AUC; ranking needs no calibration."""
    settings = ModelSettings(**{"bags": BAGS, "n_jobs": jobs, **choice.settings})
    taught = choice.teach(choice.both(teach))
    with patch("accidents.training.place_encoder._PRIOR", choice.place_prior):
        p = train(taught, taught.iloc[:0], settings, STAGE, SEED).predict_proba(choice.both(test))
    return float(roc_auc_score(test["severe"], p)), float(average_precision_score(test["severe"], p))


def _rows(baac: Path, jobs: int) -> Iterator[str]:
    tried = protocols(baac)
    yield "| choice | " + " | ".join(tried) + " |\n" + "|---" * (len(tried) + 1) + "|"
    for choice in track(CHOICES, "choices"):
        measured = [measure(choice, *parts, jobs) for parts in tried.values()]
        yield f"| {choice.name} | " + " | ".join(f"{roc:.4f} / {pr:.4f}" for roc, pr in measured) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baac", type=Path, default=Path("../shared/baac"), help="folder of real files")
    parser.add_argument("--jobs", type=int, default=2, help="threads: one where other work runs beside")
    asked = parser.parse_args()
    for row in _rows(asked.baac, asked.jobs):
        print(row, flush=True)


if __name__ == "__main__":
    main()
