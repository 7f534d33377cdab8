"""`--pipeline train`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from accidents.files import whole_content
from accidents.params import Params
from commands.dask_cluster import configuration
from commands.project import ROOT, console, on_stack
from commands.raw_files import hand_over, raw_data
from commands.reports_index import renew_index


class Verdict(TypedDict):
    """Whether a candidate became champion, by which rule, and why."""

    promote: bool
    rule: str
    reason: str


class TrainingFacts(TypedDict, total=False):
    """What a training or recalibration leads to; nothing if it was scheduled.

    `champion_version`: who is champion after it.
    """

    decision: Verdict
    model_version: str
    champion_version: str


def train(
    params: Params,
    stack: str,
    config: Path | None,
    cache: bool,
    provenance: Mapping[str, str] | None = None,
    by_loop: bool = False,
) -> TrainingFacts:
    """Check everything, have the data, run the pipeline on the stack, show what came out.

    Parameters
    ----------
    provenance : further tags for the run and the version.
    by_loop : at once, whatever `schedule` the configuration has; what was taken back stays so.

    Returns
    -------
    Of what summary.json holds the decision and the versions; nothing if it was scheduled.
    """
    started = time.monotonic()
    settings = configuration("train", stack, config)
    params, raw_version = raw_data(params)
    on_stack(stack)
    from pipelines import runs, summary
    from pipelines.code import code_used
    from pipelines.train import train as pipeline
    from steps.support import champion_and_versions
    from steps.support.rows import on_engine

    hand_over(raw_version, params)

    champion = champion_and_versions.champion(champion_and_versions.model_name(params.stage))
    arguments = {
        "params": params,
        "raw_version": raw_version,
        "champion": str(champion.number) if champion else None,
        "provenance": {**code_used(), **(provenance or {})},
        "dask": settings.on_dask,
        "may_return": not by_loop,
    }
    if settings.schedule and not by_loop:
        runs.schedule(pipeline, settings.with_cache(cache), **arguments)
        console.print("Scheduled, with the data, parameters and code of now.")
        return {}
    with on_engine(settings.on_dask):
        run = runs.run(pipeline, settings.now(cache), **arguments)
    run.export(summary.FOLDERS, whole_content(ROOT / "reports", ".of-training.json"))
    renew_index(ROOT / "reports", stack, run.commit)
    figures = run.load("summarise", "figures")
    summary.show(run, figures, stack, time.monotonic() - started, console)
    return TrainingFacts(
        decision=figures["decision"],
        model_version=figures["model_version"],
        champion_version=figures["champion_version"],
    )
