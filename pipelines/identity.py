"""What makes a version: known before anything is run. docs/decisions/0014."""

from __future__ import annotations

from accidents.provenance import APART, MadeFrom
from accidents.settings import Params
from accidents.source_code import code_version

# The steps whose work flows into a bundle; tuning's does where it is asked for.
MAKE_A_BUNDLE = (
    "steps.load_data",
    "steps.build_features",
    "steps.split_data",
    "steps.train_model",
    "steps.score_baselines",
    "steps.evaluate_model",
    "steps.check_candidate",
    "steps.refit_model",
    "steps.build_bundle",
)
TUNING = "steps.tune_model"


def made_from(params: Params, raw_version: str) -> MadeFrom:
    """What the version is made from that these parameters and raw files give."""
    steps = (*MAKE_A_BUNDLE, TUNING) if params.tuning.trials else MAKE_A_BUNDLE
    code = code_version(*steps, but=APART)
    return MadeFrom(data_version=raw_version, code_version=code, params=params.of_training())
