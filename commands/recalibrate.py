"""What a decision to recalibrate leads to: a new version with the champion's trees."""

from __future__ import annotations

from collections.abc import Mapping

from accidents.params import Params
from commands.project import ROOT, on_stack
from commands.raw_files import hand_over_input
from commands.train import TrainingFacts


def recalibrate(
    params: Params,
    stack: str,
    given: str | None,
    provenance: Mapping[str, str],
    between: list[str] | None = None,
) -> TrainingFacts:
    """Run the pipeline; return decision, model_version and champion_version, as `commands.train.train` does.

    `given` is what `--input` says; None for the prediction log; `between` the moments of
    its window that was decided on.
    """
    from pipelines.config import load_config

    on_stack(stack)
    from pipelines import runs
    from pipelines.code import code_used
    from pipelines.recalibrate import recalibrate as pipeline
    from steps.support.references import refer_to

    settings = load_config("recalibrate", stack, ROOT / "configs")
    run = runs.run(
        pipeline,
        settings,
        params=params,
        champion=refer_to(params.stage, None),
        given=given,
        input_version=None if given is None else hand_over_input(given, params.data),
        between=between,
        provenance={**code_used(), **provenance},
    )
    return TrainingFacts(
        decision=run.load("promote_recalibrated", "decision"),
        model_version=run.load("register_recalibrated", "model_version"),
        champion_version=run.load("promote_recalibrated", "champion_version"),
    )
