"""What each choice of the model gains where it counts: on accidents of another time or another place.

    python -m benchmarks.transfer --baac ../shared/baac

Prints a Markdown table for each stage: ROC-AUC / PR-AUC of the defaults, and what one choice at a time,
changed from them, adds; bold where that is more than other seeds do. Never on random folds: a choice that
helps within a year may cost in the next (docs/features.md).

- "later months": trained on January to September 2018, tested on October to December; "little said": the
  same accidents, of which only what a caller says at once is known.
- "2021": trained on 2018, tested on the joined file of 2021, with the features that both have. Its rows were
  chosen by the label: compare rows of the table, not columns. It lacks what is known on the scene only.
- "another region": trained outside a fifth of all squares of 100 km, tested inside.
- "sample": trained on the sample's 2021, tested on its 2022 with each change of `sample.Drift` in turn.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from accidents.data.reading import read_year, read_years
from accidents.data.sources.sample import Drift, write_sample
from accidents.data.sources.year_files import find_years
from accidents.evaluation.behaviour import CHECKS
from accidents.features import STAGES, Feature, build_features, feature_names, features_of
from accidents.features.computations import Value
from accidents.progress import track
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings
from accidents.training.place_encoder import PlaceCounts
from accidents.training.refit import months_before_the_last
from accidents.training.trained_model import matrix_of
from accidents.training.tree_inputs import LabelledRows
from benchmarks.others_protocol import read as read_2021
from benchmarks.real_2018 import SEED, region_folds

BAGS, ACCIDENTS = 2, 20_000  # accidents: of a sample year
SEEDS = 5  # of the defaults; of a choice one
CLEARLY = 3  # standard deviations over seeds: 19 of 20 trainings are nearer to a mean of five (Student's t)
CHANGES = tuple(change for change in get_args(Drift) if change != "none")
OF_SAMPLE = f"sample, mean of {len(CHANGES)} changes", "sample, lowest of them"
JOINED = {"catr": "road_class", "circ": "layout", "surf": "surface", "lum": "light", "agg_": "built_up",
          "int": "junction", "hour": "hour", "lat": "latitude", "long": "longitude",
          "nb_vehicules": "vehicles"}  # fmt: skip
WIDTHS, MILEPOST = (
    tuple(Feature(name, "number", "dispatch", name, Value("places", name)) for name in names)
    for names in (("road_width", "reserve_width"), ("milepost", "milepost_distance"))
)
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """What differs from the defaults: settings, or what is done to the accidents that teach and test."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    place_prior: float = 20.0  # accidents of the coarser scale that a place's own are weighed against
    place_half_life: float | None = None  # months after which an accident counts half at its place
    more: tuple[Feature, ...] = ()
    teach: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows
    both: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows
    not_in_2021: bool = False  # it is about what the joined file lacks


@dataclass(frozen=True)
class Transfer:
    """Accidents that teach, and others, by name, that test."""

    teach: pd.DataFrame
    tests: Mapping[str, pd.DataFrame]


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


DEFAULTS = Choice("defaults")
CHOICES = (
    Choice("all bags of one kind", {"two_kinds": False}),
    Choice("eight bags", {"bags": 8}),
    Choice("no monotone constraints", {"monotone": False}),
    Choice("nothing hidden in training", {"masked": 0.0}),
    Choice("every row again, with some of it hidden", {"masked": 1.0}),
    Choice("15 leaves", {"num_leaves": 15}),
    Choice("100 accidents a leaf", {"min_child_samples": 100}),
    Choice("600 trees at 0.025", {"n_estimators": 600, "learning_rate": 0.025}),
    Choice("the latest six months only", teach=_latest),
    Choice("an accident counts half of one six months later", teach=_mostly_recent),
    Choice("the same, but only at its place", place_half_life=6.0),
    Choice("places shrunk by 60 accidents, not 20", place_prior=60.0),
    Choice("no place", both=_hidden("latitude", "longitude", "department", "commune")),
    Choice("roads of a métropole (code 7) as unknown", both=_new_codes_unknown),
    Choice("without infrastructure and lanes", both=_hidden("infrastructure", "lanes"), not_in_2021=True),
    Choice("with the widths of road and reserve", more=WIDTHS, not_in_2021=True),
    Choice("with milepost and distance from it", more=MILEPOST, not_in_2021=True),
)


def real_transfers(baac: Path, stage: str) -> dict[str, Transfer]:
    """Return those between real accidents, by name; `WIDTHS` and `MILEPOST` are in the frames, too."""
    tables, _ = read_year(find_years(baac / "2018")[2018])
    frame = _features(tables, stage)
    late, elsewhere = (frame["month"] >= 10).to_numpy(), region_folds(frame) == 0
    found = {
        "later months": Transfer(frame[~late], {"later months": frame[late]}),
        "another region": Transfer(frame[~elsewhere], {"another region": frame[elsewhere]}),
    }
    if stage == "dispatch":
        shared = list(JOINED.values())
        joined = _only(_joined(read_2021(baac)), shared, stage)
        found["2021"] = Transfer(_only(frame, shared, stage), {"2021": joined})
    return found


def transfers(baac: Path, stage: str) -> tuple[Transfer, ...]:
    """Return all: those of `real_transfers` with little said, and from one sample year to the next."""
    real = real_transfers(baac, stage)
    later = real["later months"]
    if stage == "dispatch":
        (check,) = (check for check in CHECKS if check.name == "little_said")
        said = check.change(later.tests["later months"], np.random.default_rng(SEED))
        real["later months"] = replace(later, tests={**later.tests, "little said": said})
    changed = {change: _sample(2022, change, stage) for change in track(CHANGES, "sample years")}
    return (*real.values(), Transfer(_sample(2021, "none", stage), changed))


def _sample(year: int, change: str, stage: str) -> pd.DataFrame:
    with tempfile.TemporaryDirectory(prefix="transfer-") as folder:
        tables, _ = read_years(write_sample(Path(folder), [year], ACCIDENTS, seed=SEED, drift=change))
    return _features(tables.validate(), stage)


def _features(tables: Any, stage: str) -> pd.DataFrame:
    with _declared(stage, (*WIDTHS, *MILEPOST)):
        rows = build_features(tables, stage)
    return rows[rows["severe"].notna()]


def _joined(rows: pd.DataFrame) -> pd.DataFrame:
    features = rows[list(JOINED)].rename(columns=JOINED).astype(np.float32)
    return features.assign(severe=rows["grav_binary"].astype(np.float32), year=2021, month=rows["mois"])


def _only(rows: pd.DataFrame, names: list[str], stage: str) -> pd.DataFrame:
    kept = rows[[*names, "severe", "year", "month"]]
    return kept.assign(**{n: np.float32(np.nan) for n in feature_names(stage) if n not in names})


@contextmanager
def _declared(stage: str, more: tuple[Feature, ...]) -> Iterator[None]:
    """Declare further features, as far as training looks at declarations."""
    stages = {stage: (*features_of(stage), *more)}
    sources = {feature.name: feature.compute.sources for feature in more}
    with (
        patch.dict("accidents.features.features_by_stage._BY_STAGE", stages),
        patch.dict("accidents.training.masking._SOURCES", sources),
    ):
        yield


@contextmanager
def _older_count_less(taught: pd.DataFrame, half_life: float) -> Iterator[None]:
    """Let an accident count half at its place of one `half_life` months later, while `taught` teaches.

    Its age goes along with its place, as one column more, which nothing else looks at.
    """
    age = months_before_the_last(taught).astype(np.float32)
    rows_of, count = LabelledRows.of, PlaceCounts.of

    def with_age(x: Any, y: Any, names: tuple[str, ...]) -> LabelledRows:
        rows = rows_of(x, y, names)
        return replace(rows, place=np.column_stack([rows.place, age]))

    def weighed(place: Any, severe: Any) -> PlaceCounts:
        ages = place[:, -1]
        parts = (_times(count(place[ages == a], severe[ages == a]), 0.5 ** (a / half_life)) for a in {*ages})
        return reduce(PlaceCounts.__add__, parts)

    with patch.object(LabelledRows, "of", with_age), patch.object(PlaceCounts, "of", weighed):
        yield


def _times(counts: PlaceCounts, weight: Any) -> PlaceCounts:
    tables = {name: table * np.array([1, weight, weight]) for name, table in counts.tables.items()}
    return PlaceCounts(tables, counts.accidents * weight, counts.severe * weight)


def predict(
    choice: Choice, transfer: Transfer, stage: str, jobs: int, seed: int = SEED
) -> Mapping[str, Doubles]:
    """P(severe) of each test, not calibrated: ranking needs none."""
    settings = ModelSettings(**{"bags": BAGS, "n_jobs": jobs, **choice.settings})
    taught = choice.teach(choice.both(transfer.teach))
    with ExitStack() as patched:
        patched.enter_context(_declared(stage, choice.more))
        patched.enter_context(patch("accidents.training.place_encoder._PRIOR", choice.place_prior))
        if choice.place_half_life:
            patched.enter_context(_older_count_less(taught, choice.place_half_life))
        model = train(taught, taught.iloc[:0], settings, stage, seed)
        tests = {name: choice.both(test) for name, test in transfer.tests.items()}
        return {name: model.predict_many(matrix_of(test, model.features)) for name, test in tests.items()}


def measure(
    choice: Choice, tried: Sequence[Transfer], stage: str, jobs: int, seed: int = SEED
) -> dict[str, Doubles]:
    """ROC-AUC and PR-AUC by column of the table, float64 [2]; without those that the choice is not for."""
    found: dict[str, Doubles] = {}
    for transfer in tried:
        if choice.not_in_2021 and "2021" in transfer.tests:
            continue
        for name, p in predict(choice, transfer, stage, jobs, seed).items():
            severe = transfer.tests[name]["severe"]
            found[name] = np.array([roc_auc_score(severe, p), average_precision_score(severe, p)])
    changed = np.array([found.pop(change) for change in CHANGES])
    return found | dict(zip(OF_SAMPLE, (changed.mean(axis=0), changed.min(axis=0)), strict=True))


def _rows(tried: Sequence[Transfer], stage: str, jobs: int) -> Iterator[str]:
    """Yield the lines of a stage's table."""
    seeds = track(range(SEED, SEED + 100 * SEEDS, 100), f"seeds, {stage}")  # bags have the seeds next to one
    usual = [measure(DEFAULTS, tried, stage, jobs, seed) for seed in seeds]
    mean, spread = (
        {name: of([one[name] for one in usual], axis=0) for name in usual[0]} for of in (np.mean, _spread)
    )
    yield f"| choice | {' | '.join(mean)} |\n" + "|---" * (len(mean) + 1) + "|"
    yield _line(f"{DEFAULTS.name}, mean of {SEEDS} seeds", [_cell(value) for value in mean.values()])
    yield _line("standard deviation over seeds", [_cell(value) for value in spread.values()])
    for choice in track(CHOICES, f"choices, {stage}"):
        found = measure(choice, tried, stage, jobs)
        gains = {name: found[name] - mean[name] for name in found}
        cells = [_gain(gains[name], spread[name]) if name in gains else "-" for name in mean]
        yield _line(choice.name, cells)


def _spread(values: Sequence[Doubles], axis: int) -> Doubles:
    return np.std(values, axis=axis, ddof=1)


def _line(name: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def _cell(values: Doubles) -> str:
    return " / ".join(f"{value:.4f}" for value in values)


def _gain(gain: Doubles, spread: Doubles) -> str:
    return " / ".join(
        f"**{value:+.4f}**" if abs(value) > CLEARLY * chance else f"{value:+.4f}"
        for value, chance in zip(gain, spread, strict=True)
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baac", type=Path, default=Path("../shared/baac"), help="folder of real files")
    parser.add_argument("--stage", choices=STAGES, action="append", help="one stage only")
    parser.add_argument("--jobs", type=int, default=2, help="threads: one where other work runs beside")
    asked = parser.parse_args()
    for stage in asked.stage or STAGES:
        print(f"**{stage}**\n")
        for row in _rows(transfers(asked.baac, stage), stage, asked.jobs):
            print(row, flush=True)
        print()


if __name__ == "__main__":
    main()
