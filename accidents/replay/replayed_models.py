"""Champions of a replay: trained on what was published at the time, and what drift and loss are held against.

They live in memory only; the parts are those that a bundle has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from accidents.bundle import Bundle
from accidents.evaluation.metrics import compare
from accidents.features import feature_names
from accidents.monitoring.measurements import Champion
from accidents.params import Params
from accidents.promotion.champion_decision import ChampionComparison, Freshness, decide_succession
from accidents.scoring.score import probabilities
from accidents.training import fit_bags
from accidents.training.reference import latest_learnt, learnt_from, promised
from accidents.training.refit import refit
from accidents.training.split import CALIBRATION, TEST, TRAIN, split_by_time
from accidents.training.trained_model import Model


@dataclass(frozen=True)
class Setup:
    """What a replay needs beside the accidents.

    Attributes
    ----------
    validator : the stack's data validator; `columns` : the features by kind, as it wants them told.
    """

    params: Params
    source: str
    synthetic: bool
    validator: Any
    columns: Mapping[str, list[str]]


@dataclass(frozen=True)
class ReplayedModel:
    """A trained model with its reference, its holdout and its test part.

    Attributes
    ----------
    bundle : what serves; `judged` : the model it was judged by, the same unless it is a refit.
    """

    bundle: Bundle
    judged: Model
    facts: Champion
    reference: pd.DataFrame
    holdout: pd.DataFrame
    test: pd.DataFrame
    learnt_rows: int
    split: str


def train_replayed(rows: pd.DataFrame, years: Sequence[int], number: int, setup: Setup) -> ReplayedModel:
    """Train on all rows but the last part, which tests, and refit on all, as the train pipeline does.

    Raises DataError where the rows cannot be split or hold one outcome only.
    """
    params = setup.params
    parts = split_by_time(rows, None, params.split.calibration_share, params.split.test_share)
    learnt, calibration, test = (rows[parts.mask(part)] for part in (TRAIN, CALIBRATION, TEST))
    trained = fit_bags.train(learnt, calibration, params.model, params.stage, params.seed)
    serving, seen = trained, pd.concat([learnt, calibration])
    if params.refit:
        seen = pd.concat([seen, test])
        made = refit(seen, params.model, params.stage, params.seed)
        serving, seen = made.model, seen.assign(p_unseen=made.unseen)
    months = learnt_from(seen)
    known = {"stage": params.stage, "features": list(feature_names(params.stage)), "learnt_from": months,
             "years": list(years), "synthetic": setup.synthetic}  # fmt: skip
    bundle = Bundle(Path(), serving, known, digest=f"replay-{number}")
    champion = Champion(
        name="replay", version=str(number), digest=bundle.digest, stage=params.stage,
        synthetic=setup.synthetic, learnt_until=months[-1], years=tuple(years),
    )  # fmt: skip
    reference = _scored(serving, latest_learnt(seen, params.seed))
    tested = _scored(trained, test)
    holdout = promised(tested, tested["p_severe"], params.seed)
    return ReplayedModel(bundle, trained, champion, reference, holdout, tested, len(seen), parts.description)


def takes_over(challenger: ReplayedModel, champion: ReplayedModel, params: Params) -> tuple[bool, str]:
    """Whether the challenger follows, and why: the rule of promotion, without gates and parts of the data.

    Both are measured on the challenger's test part, by their models that have not learnt from it.
    """
    test, settings = challenger.test, params.promotion
    overall = compare(
        test["severe"], _scored(champion.judged, test)["p_severe"], test["p_severe"], settings.metric,
        params.evaluation.budget, params.evaluation.n_bootstrap, params.seed,
    )  # fmt: skip
    decision = decide_succession(
        ChampionComparison(champion.facts.version, overall),
        Freshness(challenger.facts.learnt_until, champion.facts.learnt_until),
        settings,
    )
    return decision.promote, decision.reason


def _scored(trained: Model, rows: pd.DataFrame) -> pd.DataFrame:
    matrix = rows[list(trained.features)].to_numpy(np.float32)
    return rows.assign(p_severe=probabilities(trained, matrix))
