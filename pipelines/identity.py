"""What makes a version: known before anything is run. docs/decisions/0014."""

from __future__ import annotations

from accidents.bundle.provenance import APART, MadeFrom
from accidents.params import Params
from accidents.source_code import code_version
from engine.settings import DaskSettings

# The steps whose work flows into a bundle; tuning's does where it is asked for.
MAKE_A_BUNDLE = (
    "steps.data.load_data",
    "steps.data.build_features",
    "steps.data.split_data",
    "steps.training.train_model",
    "steps.training.score_baselines",
    "steps.evaluation.evaluate_model",
    "steps.evaluation.check_candidate",
    "steps.training.refit_model",
    "steps.training.build_bundle",
)
TUNING = "steps.training.tune_model"


def made_from(params: Params, raw_version: str, dask: DaskSettings | None = None) -> MadeFrom:
    """Return what the version is made from that these parameters and raw files give.

    Of the engine nothing but how many workers share a bag's rows: with several, the trees are others.
    """
    steps = (*MAKE_A_BUNDLE, TUNING) if params.tuning.trials else MAKE_A_BUNDLE
    code = code_version(*steps, but=APART)
    depends = params.of_training()
    if dask is not None and dask.workers_per_bag > 1:
        depends["workers_per_bag"] = dask.workers_per_bag
    return MadeFrom(data_version=raw_version, years=params.data.years, code_version=code, params=depends)
