"""How right probabilities are again once two thousand labels of another time or place have come in."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.bundle import Bundle
from accidents.evaluation.metrics import Estimate, evaluate
from accidents.features import STAGES
from accidents.files import ROOT
from accidents.monitoring.recalibration import recalibrate
from accidents.params import Params, load_params
from accidents.progress import track
from accidents.training.model_settings import ModelSettings
from accidents.training.refit import refit
from benchmarks.options import Options
from benchmarks.real_2018 import SEED
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.transfer import Transfer, real_transfers

TITLE = "Probabilities elsewhere, mended by labels"
LABELS, MOST_ECE = 2_000, 0.02
DRAWS = 20  # of the labels, as there are more accidents in their months
Positions = npt.NDArray[np.int64]


class Elsewhere(NamedTuple):
    """A deployed model, and accidents of elsewhere with what its trees say of them."""

    champion: Bundle
    rows: pd.DataFrame
    raw: npt.NDArray[np.float64]


class Mended(NamedTuple):
    """ECE on accidents that gave no label, of the champion and of what the loop makes of it.

    Of `asked` recalibrations the gates let `taken` pass.
    """

    before: Estimate
    after: Estimate
    taken: int
    asked: int = 1


def run(options: Options) -> Outcome:
    """Measure every transfer between real accidents."""
    options.must_have(2018)
    params, draws = load_params(ROOT / "params.yaml"), 2 if options.quick else DRAWS
    settings = ModelSettings(**{"bags": 2, "n_estimators": 30} if options.quick else {})
    figures: list[Figure] = []
    rows: list[tuple[str, ...]] = []
    for stage in STAGES[:1] if options.quick else STAGES:
        for name, transfer in track(real_transfers(options.baac, stage).items(), f"transfers, {stage}"):
            there = _deployed(transfer, settings, stage)
            first = [_mended(there, _first(there.rows, seed), params, seed) for seed in range(draws)]
            drawn = [_mended(there, _drawn(there.rows, seed), params, seed) for seed in range(draws)]
            again = [_again_and_again(there, params)]
            ways = {"the first": first, "of all the time": drawn, "the latest, again and again": again}
            rows += [(stage, name, way, *_cells(mended)) for way, mended in ways.items()]
            figures.append(_figure(f"{stage}, {name}", first))
    return Outcome(about=_about(draws), figures=tuple(figures), body=table(HEAD, rows))


HEAD = ("stage", "transfer", "labels", "ECE before", "ECE after", "mean of the draws", "most", "taken")


def _about(draws: int) -> str:
    return (
        "The default model, refitted on January to September 2018, on 2018, or on all regions but a fifth; "
        f"then recalibrated by the loop's own code on {LABELS:,} accidents of later months, of 2021 (joined "
        "rows, chosen by their label), or of the regions not learnt from, and judged on all others there. "
        f"The labels are the first by month ({draws} draws, as a month has more), or of all the time; again "
        f"and again: each {LABELS:,} accidents are told by what the {LABELS:,} before them have mended. In "
        "brackets: 95 % of one draw. What the gates refuse stays as it was."
    )


def _deployed(transfer: Transfer, settings: ModelSettings, stage: str) -> Elsewhere:
    """Return the refit of the accidents that teach, and what its trees say of the others."""
    model = refit(transfer.teach, settings, stage, SEED).model
    (rows,) = transfer.tests.values()
    # Never written: `recalibrate` asks a bundle for its model and its features only.
    champion = Bundle(Path(), model, {"stage": stage, "features": list(model.features)}, digest="")
    return Elsewhere(champion, rows, model.uncalibrated(rows[champion.features].to_numpy(np.float32)))


def _drawn(rows: pd.DataFrame, seed: int) -> Positions:
    return np.random.default_rng(seed).permutation(len(rows))[:LABELS]


def _first(rows: pd.DataFrame, seed: int) -> Positions:
    return _by_month(rows, seed)[:LABELS]


def _by_month(rows: pd.DataFrame, seed: int) -> Positions:
    """Return the positions of accidents month after month; the day is not known, so drawn within one."""
    drawn = np.random.default_rng(seed).permutation(len(rows))
    month = (rows["year"].to_numpy(np.int32) * 12 + rows["month"].to_numpy(np.int32))[drawn]
    return drawn[np.argsort(month, kind="stable")]


def _mended(there: Elsewhere, labelled: Positions, params: Params, seed: int) -> Mended:
    made = recalibrate(there.champion, there.rows.iloc[labelled], "1", params.gate_rules)
    others = np.setdiff1d(np.arange(len(there.rows)), labelled)
    before = there.champion.model.calibration
    after = made.calibration if made.decision.promote else before
    severe, raw = there.rows["severe"].iloc[others], there.raw[others]
    draws = params.evaluation.n_bootstrap if seed == 0 else 0  # the interval of one draw is shown
    estimates = (_ece(severe, calibration.apply(raw), draws) for calibration in (before, after))
    return Mended(*estimates, taken=int(made.decision.promote))


def _again_and_again(there: Elsewhere, params: Params) -> Mended:
    """Tell each stretch of accidents by a champion that the stretch before it has recalibrated."""
    order = _by_month(there.rows, seed=0)
    stretches = [order[start : start + LABELS] for start in range(0, len(order), LABELS)]
    champion, taken, after = there.champion, 0, []
    for labelled, following in pairwise(stretches):
        made = recalibrate(champion, there.rows.iloc[labelled], "1", params.gate_rules)
        if made.decision.promote:
            champion = replace(champion, model=champion.model.calibrated_by(made.calibration))
            taken += 1
        after.append(champion.model.calibration.apply(there.raw[following]))
    others, draws = order[LABELS:], params.evaluation.n_bootstrap
    severe, before = there.rows["severe"].iloc[others], there.champion.model.calibration
    return Mended(
        _ece(severe, before.apply(there.raw[others]), draws),
        _ece(severe, np.concatenate(after), draws),
        taken,
        asked=len(stretches) - 1,
    )


def _ece(severe: pd.Series[float], p: npt.NDArray[np.float64], draws: int) -> Estimate:
    return evaluate(severe, p, n_bootstrap=draws, seed=SEED)["ece"]


def _cells(mended: Sequence[Mended]) -> tuple[str, ...]:
    found = [one.after.value for one in mended]
    taken, asked = sum(one.taken for one in mended), sum(one.asked for one in mended)
    several = (f"{statistics.mean(found):.3f}", f"{max(found):.3f}") if len(mended) > 1 else ("", "")
    return str(mended[0].before), str(mended[0].after), *several, f"{taken} of {asked}"


def _figure(where: str, mended: Sequence[Mended]) -> Figure:
    """Judge the mean of the draws: what chance did in one of them is nothing that was reached."""
    mean = statistics.mean(one.after.value for one in mended)
    return Figure(
        what=f"ECE after the first {LABELS:,} labels, {where}",
        target=f"at most {MOST_ECE:g}",
        figure=f"{mean:.4f}",
        met=mean <= MOST_ECE,
    )
