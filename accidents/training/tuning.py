"""Search for better hyper-parameters on the training rows alone. Off unless params.yaml gives it trials.

A trial is judged on accidents later than those it learnt from, because what is wanted is what carries to
another year, not to a shuffled copy of this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.errors import DataError
from accidents.training.drawn_rows import MOST_LEARNT, labelled_at_most
from accidents.training.fit_bags import train
from accidents.training.model_settings import ModelSettings

if TYPE_CHECKING:
    import optuna

_SHARE = 0.25  # of the training rows, the latest, judge the trials


def tune(
    train_rows: pd.DataFrame, settings: ModelSettings, stage: str, trials: int, seed: int
) -> ModelSettings:
    """Find the best of `trials` settings around `settings`, by log loss on the latest quarter of rows.

    `settings` itself is the first trial, so the result is never worse there. With 0 trials it is returned.
    Of more than `MOST_LEARNT` rows with a label, so many are drawn.

    Raises DataError if the labelled rows are all of one month.
    """
    if trials == 0:
        return settings
    import optuna
    from sklearn.metrics import log_loss

    rows = labelled_at_most(train_rows, MOST_LEARNT, seed)
    late = _latest(rows)
    fitting, judging = rows[~late], rows[late]
    label = judging["severe"].to_numpy()

    def loss(trial: optuna.Trial) -> float:
        tried = _suggest(trial, settings)
        model = train(fitting, fitting.iloc[:0], tried.model_copy(update={"bags": 1}), stage, seed)
        return float(log_loss(label, model.predict_proba(judging)))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    # The starting point, where it lies within what is searched.
    study.enqueue_trial({name: getattr(settings, name) for name in _SEARCHED})
    study.optimize(loss, n_trials=trials)
    return settings.model_copy(update=study.best_params)


_SEARCHED = (
    "n_estimators",
    "learning_rate",
    "num_leaves",
    "min_child_samples",
    "colsample_bytree",
    "reg_lambda",
)


def _suggest(trial: optuna.Trial, settings: ModelSettings) -> ModelSettings:
    suggested = {
        "n_estimators": trial.suggest_int("n_estimators", 100, 375),  # 4 bags of 375 keep a request fast
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.2, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 7, 127, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 10, 300, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 1.0),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 100.0, log=True),
    }
    return settings.model_copy(update=suggested)


def _latest(rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return the months, from the last backwards, that hold about a quarter of the rows."""
    month = rows["year"].to_numpy(dtype=np.int64) * 12 + rows["month"].to_numpy(dtype=np.int64)
    months, counts = np.unique(month, return_counts=True)
    if len(months) < 2:
        raise DataError(
            "Tuning needs labelled training rows of two months at least, to judge on the later ones."
        )
    share = np.cumsum(counts[::-1]) / len(month)
    first = months[::-1][min(int(np.searchsorted(share, _SHARE)), len(months) - 2)]
    latest: npt.NDArray[np.bool_] = month >= first
    return latest
