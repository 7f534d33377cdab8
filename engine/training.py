"""The model and its refit on Dask: each bag on a worker, places counted by partition."""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import psutil

from accidents.lightgbm.booster import Booster
from accidents.progress import track
from accidents.training.baselines import BASELINES, fit_baseline
from accidents.training.calibration import BetaCalibration
from accidents.training.drawn_rows import MOST_LEARNT
from accidents.training.fit_bags import boost, of_bags, require_both_outcomes
from accidents.training.model_settings import ModelSettings
from accidents.training.place_encoder import PlaceCounts, PlaceEncoder
from accidents.training.refit import Refit, folds, months_before_the_last, put_together, refit_bag
from accidents.training.trained_model import Model
from engine.partitions import PartitionedRows, Piece, labelled_rows, places_of
from engine.reading import columns_of, keys_of, predicted, rows_at, sampled
from engine.shared_bags import grow
from engine.tasks import each, reduced

T = TypeVar("T")

MOST_OF_LIMIT = 0.85  # beyond 0.95 Dask starts a worker anew
BESIDE_ROWS = 0.3 * 2**30  # bytes: Python and its libraries


def train(
    train: PartitionedRows, calibration: PartitionedRows, settings: ModelSettings, stage: str, seed: int
) -> Model:
    """Train as `accidents.training.fit_bags.train` does: by bags, to the same bytes.

    Where workers share a bag, its trees are others: `engine.shared_bags`.
    """
    places = _places(train)
    require_both_outcomes(places.accidents, places.severe)
    if train.dask.workers_per_bag > 1:
        numbers = track(range(settings.bags), "Training bags of trees")
        texts = [grow(train, settings, stage, seed, bag).trees for bag in numbers]
    else:
        texts = _each_bag(train, _boost_one, settings, stage, seed, "Training bags of trees")
    model = of_bags([Booster(text) for text in texts], PlaceEncoder.of_counts(places), stage)
    later = keys_of(calibration)["severe"].to_numpy(dtype=np.float64)
    model.calibration = BetaCalibration.fit(predicted(model, calibration), later)
    return model


def refit(rows: PartitionedRows, settings: ModelSettings, stage: str, seed: int) -> Refit:
    """Fit on all rows as `accidents.training.refit.refit` does, to the same bytes.

    Where workers share a bag, its trees are others: `engine.shared_bags`.
    """
    if rows.dask.workers_per_bag > 1:
        fitted = _refit_shared(rows, settings, stage, seed)
    else:
        fitted = _each_bag(rows, _refit_one, settings, stage, seed, "Refitting bags of trees")
    bags = [(Booster(text), scores) for text, scores in fitted]
    places = PlaceEncoder.of_counts(_places(rows))
    keys = keys_of(rows)
    age, labels = months_before_the_last(keys), keys["severe"].to_numpy(dtype=np.float32)
    del keys
    return put_together(bags, places, labels, age, folds(age, settings, seed), stage)


def tune(rows: PartitionedRows, settings: ModelSettings, stage: str, trials: int, seed: int) -> ModelSettings:
    """Search as `accidents.training.tuning.tune` does, on one worker: trials follow from those before."""
    named = [("all trials", (sampled(rows, MOST_LEARNT, seed), settings, stage, trials, seed))]
    (best,) = each(rows.dask, _tune_one, named, "Tuning", saves_memory="")
    return best


def score_baselines(
    train: PartitionedRows, calibration: PartitionedRows, test: PartitionedRows, stage: str, seed: int
) -> pd.DataFrame:
    """P(severe) of each test row by each baseline, one column each.

    Each is fitted on one worker, as `accidents.training.baselines.fit_baselines` does.
    """
    learnt, later = sampled(train, MOST_LEARNT, seed), sampled(calibration, MOST_LEARNT, seed)
    named = [(name, (name, learnt, later, test.pieces, stage, seed)) for name in BASELINES]
    scored = each(test.dask, _baseline, named, "Baselines", saves_memory="")
    return pd.DataFrame(dict(zip(BASELINES, scored, strict=True)))


def _each_bag(
    rows: PartitionedRows, work: Callable[..., T], settings: ModelSettings, stage: str, seed: int, what: str
) -> list[T]:
    """Do `work` for each bag; the slow kind is begun first, so that the workers end together."""
    order = sorted(range(settings.bags), key=settings.draws_thresholds)
    named = [(f"bag {bag + 1}", (rows.pieces, settings, stage, seed, bag)) for bag in order]
    grown = each(rows.dask, work, named, what, saves_memory="raise `dask.workers_per_bag`")
    results = dict(zip(order, grown, strict=True))
    return [results[bag] for bag in range(settings.bags)]


def _places(rows: PartitionedRows) -> PlaceCounts:
    named = [(piece.name, (piece,)) for piece in rows.pieces]
    return reduced(rows.dask, _count_one, named, PlaceCounts.__add__, "Counting places")


def _count_one(piece: Piece) -> PlaceCounts:
    return PlaceCounts.of(*places_of([piece]))


def _boost_one(pieces: tuple[Piece, ...], settings: ModelSettings, stage: str, seed: int, bag: int) -> str:
    rows = labelled_rows(pieces, stage)
    every = np.arange(len(rows))
    booster = boost(rows, every, _one_thread(settings), stage, seed, bag, memory=memory_for_rows())
    return _as_told(booster.text, settings)


def _refit_one(
    pieces: tuple[Piece, ...], settings: ModelSettings, stage: str, seed: int, bag: int
) -> tuple[str, Any]:
    held = _held_back(pieces, settings, seed, bag)
    rows = labelled_rows(pieces, stage)
    booster, scores = refit_bag(rows, held, _one_thread(settings), stage, seed, bag, memory_for_rows())
    return _as_told(booster.text, settings), scores


def _refit_shared(
    rows: PartitionedRows, settings: ModelSettings, stage: str, seed: int
) -> list[tuple[str, Any]]:
    fold = folds(months_before_the_last(columns_of(rows, ("year", "month"))), settings, seed)
    numbers = track(range(settings.bags), "Refitting bags of trees")
    grown = [grow(rows, settings, stage, seed, bag, fold == bag) for bag in numbers]
    return [(bag.trees, bag.scores) for bag in grown]


def _held_back(pieces: tuple[Piece, ...], settings: ModelSettings, seed: int, bag: int) -> Any:
    """Return which rows a bag leaves out, bool [n]: no more stays of their months."""
    months = pd.concat([piece.read(("year", "month")) for piece in pieces])
    return folds(months_before_the_last(months), settings, seed) == bag


def _one_thread(settings: ModelSettings) -> ModelSettings:
    """Return what a bag is grown with on a worker, whose other threads have work of their own."""
    return settings.model_copy(update={"n_jobs": 1})


def memory_for_rows() -> float:
    """Bytes that this worker has for the rows of a bag, by Dask's limit and by those of the system."""
    from dask.system import CPU_COUNT
    from distributed import get_worker
    from distributed.system import MEMORY_LIMIT

    worker, now = get_worker(), psutil.Process().memory_info()
    threads = int(worker.state.nthreads)
    share = MEMORY_LIMIT * min(1, threads / CPU_COUNT)  # of a worker without a limit: as Dask's own `auto`
    limits = (
        # Not what it has now: much of that was freed, and is taken again.
        (worker.memory_manager.memory_limit or share, BESIDE_ROWS),
        (resource.getrlimit(resource.RLIMIT_DATA)[0], getattr(now, "data", BESIDE_ROWS)),  # `ulimit -d`
        (resource.getrlimit(resource.RLIMIT_AS)[0], now.vms),  # `ulimit -v`
    )
    left = (MOST_OF_LIMIT * limit - beside for limit, beside in limits if limit != resource.RLIM_INFINITY)
    return min(left) / threads


def _as_told(trees: str, settings: ModelSettings) -> str:
    """Return the trees with the threads they were to be grown with: they are the same with any."""
    for single, several in (("num_threads: 1", f"num_threads: {settings.n_jobs}"), *_WISE):
        trees = trees.replace(f"[{single}]", f"[{several}]", 1)
    return trees


_WISE = (("force_row_wise: 0", "force_row_wise: 1"), ("force_col_wise: 1", "force_col_wise: 0"))


def _tune_one(searched: Any, settings: ModelSettings, stage: str, trials: int, seed: int) -> ModelSettings:
    from accidents.training.tuning import tune as search

    return search(rows_at(*searched), settings, stage, trials, seed)


def _baseline(name: str, train: Any, calibration: Any, test: tuple[Piece, ...], stage: str, seed: int) -> Any:
    predict = fit_baseline(name, rows_at(*train), rows_at(*calibration), stage, seed)
    return np.concatenate([predict(piece.read()) for piece in test])
