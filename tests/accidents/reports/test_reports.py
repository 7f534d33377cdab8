"""Figures and model card: drawn from results, right size, self-contained, and saying what must be said."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from accidents.evaluation.behaviour import behaviour_checks
from accidents.evaluation.metrics import alerts_for_budget, compare, evaluate
from accidents.evaluation.results import Results
from accidents.evaluation.slices import evaluate_slices
from accidents.features import feature_names
from accidents.promotion.champion_decision import ChampionComparison, Freshness, decide
from accidents.promotion.gates import GateSettings, check_gates
from accidents.reports import figures
from accidents.reports.card import ALT, model_card, model_card_html, write_card
from accidents.reports.maps import severity_map
from tests.accidents.frames import feature_frame, risk, risk_without_speed

FRAME = feature_frame(1_500)
Y, P = FRAME["severe"].to_numpy(), risk(FRAME)
SCORES = {"model": P, "prevalence": np.full(len(P), Y.mean()), "logistic_regression": np.sqrt(P)}
NAMES = feature_names("dispatch")
VALUES = FRAME[list(NAMES)].to_numpy()
CONTRIBUTIONS = np.random.default_rng(0).normal(0, 1, VALUES.shape) * np.linspace(0.01, 1, len(NAMES))


@pytest.fixture(scope="module")
def results() -> Results:
    return Results(
        alerts=alerts_for_budget(P),
        model=evaluate(Y, P, n_bootstrap=20),
        at_threshold=evaluate(Y, P, n_bootstrap=20, alerts=alerts_for_budget(P)),
        baselines={"prevalence": evaluate(Y, SCORES["prevalence"], n_bootstrap=20)},
        slices=evaluate_slices(FRAME, Y, P, n_bootstrap=10),
        behaviour=behaviour_checks(risk_without_speed, FRAME.assign(speed_limit=np.float32(np.nan)), 0.5),
    )


FACTS: dict[str, Any] = {
    "name": "severity-dispatch",
    "stage": "dispatch",
    "threshold": 0.4321,
    "budget": 0.2,
    "source": "sample",
    "synthetic": True,
    "years": [2021, 2022],
    "split": {"description": "Split by time: train 2021."},
    "learnt_from": ["2021-01", "2021-02", "2021-12"],
    "data_version": "ab12.dir",
    "params": {"stage": "dispatch", "model": {"n_estimators": 600}},
}


@pytest.fixture(scope="module")
def decision(results: Results) -> dict[str, Any]:
    report = check_gates([GateSettings(metric="ece", max=0.0001)], results.model)
    meeting = ChampionComparison("version 3", compare(Y, P**3, P, "brier", n_bootstrap=20))
    judged = decide(report, meeting, Freshness("2021-12", None))
    return {
        **judged.to_dict(),
        **report.to_dict(),
        "comparison": meeting.to_dict(),
        "notes": ["A note | aside."],
    }


def drawings(results: Results) -> dict[str, Figure]:
    place = FRAME["latitude"].to_numpy(), FRAME["longitude"].to_numpy()
    return {
        "roc_and_pr": figures.roc_and_pr(Y, SCORES),
        "calibration": figures.calibration(Y, P),
        "lift": figures.lift(Y, SCORES),
        "importance": figures.importance(dict(zip(NAMES, np.abs(CONTRIBUTIONS).mean(axis=0), strict=True))),
        "shap_summary": figures.shap_summary(CONTRIBUTIONS, VALUES, NAMES, 7),
        "slices": figures.slices(results.slices, results.model.metrics),
        "map": severity_map(*place, Y, P),
    }


def texts(figure: Figure) -> str:
    """All that is written on a figure."""
    return " ".join(found.get_text() for found in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_every_figure_is_a_png_1200_pixels_wide(results: Results):
    for name, figure in drawings(results).items():
        content = figures.png(figure)
        assert content.startswith(b"\x89PNG"), name
        assert int.from_bytes(content[16:20], "big") == 1200, name


def test_which_accidents_are_shown_goes_by_the_seed():
    shown = [figures.png(figures.shap_summary(CONTRIBUTIONS, VALUES, NAMES, seed)) for seed in (7, 7, 8)]
    assert shown[0] == shown[1] != shown[2]


def test_figures_say_what_the_results_say(results: Results):
    drawn = {name: texts(figure) for name, figure in drawings(results).items()}
    assert f"model  {results.model['roc_auc'].value:.3f}" in drawn["roc_and_pr"]
    assert f"prevalence  {Y.mean():.3f}" in drawn["roc_and_pr"]
    assert f"{results.model['ece'].value:.3f}" in drawn["calibration"]
    assert f"{results.model['recall_at_budget'].value:.0%} of the severe" in drawn["lift"]
    assert "too few to measure" in drawn["slices"]
    assert f"whole test set {results.model['roc_auc'].value:.3f}" in drawn["slices"]


def test_a_constant_baseline_draws_no_curve_of_its_own():
    assert "prevalence" not in texts(figures.lift(Y, SCORES))


def test_importance_shows_the_most_important_on_top():
    axes = figures.importance({"a": 0.1, "b": 0.3, "c": 0.2}, top=2).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["c", "b"]


def test_map_leaves_overseas_out_until_there_are_enough():
    place = FRAME["latitude"].to_numpy().copy(), FRAME["longitude"].to_numpy().copy()
    place[0][:10], place[1][:10] = -21.0, 55.5
    assert "La Réunion" not in texts(severity_map(*place, Y, P))
    place[0][:100], place[1][:100] = -21.0, 55.5
    place[0][-1] = np.nan
    drawn = texts(severity_map(*place, Y, P))
    assert "La Réunion" in drawn
    assert "1,499 of 1,500 accidents have a place" in drawn


def test_drawing_needs_no_display_and_no_pyplot():
    code = "import sys, accidents.reports.maps as _; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_card_says_what_must_be_said(results: Results, decision: dict[str, Any]):
    card = model_card(FACTS, results, decision, {"git_commit": "0123abc"})
    for words in (
        "P(severe | an injury accident was recorded)",
        "It is **not** the risk that an accident happens",
        "no comparable meaning before that year",
        "Not for:",
        "**Synthetic data.**",
        "Split by time: train 2021.",
        str(results.model["roc_auc"]),
        str(results.baselines["prevalence"]["brier"]),
        "champion **version 3**",
        "**refuses**",
        "**Not promoted.** 1 of 1 gates refuse",
        "too few to measure",
        "not run",
        "| git commit | 0123abc |",
        "| learnt from | 2021-01 to 2021-12 |",
        "model.n_estimators: 600",
        "from a probability of 0.432",
    ):
        assert words in card, words
    for name in NAMES:
        assert f"| {name} |" in card


def test_real_data_is_not_called_synthetic(results: Results):
    card = model_card({**FACTS, "synthetic": False}, results)
    assert "ynthetic" not in card
    assert "BAAC" in card


def test_card_before_the_decision_says_so(results: Results):
    card = model_card(FACTS, results)
    assert "before the gates were held against it" in card
    assert "romoted" not in card


def test_card_of_a_random_split_speaks_of_no_later_accidents(results: Results):
    at_random = {**FACTS, "split": {**FACTS["split"], "method": "random"}}
    assert "later accidents" in model_card(FACTS, results)
    assert "later accidents" not in model_card(at_random, results)


def test_tables_of_the_card_are_whole(results: Results, decision: dict[str, Any]):
    for block in re.findall(r"(?:^\|.*\n)+", model_card(FACTS, results, decision), re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line.strip())) for line in block.splitlines()}
        assert len(widths) == 1, block


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))


def test_page_carries_its_pictures_and_loads_nothing(results: Results, decision: dict[str, Any]):
    pictures = {name: figures.png(Figure((1, 1))) for name in ALT}
    html = model_card_html(FACTS, results, decision, pictures={**pictures, "unknown": b""})
    page = _Page()
    page.feed(html)
    assert sorted(str(image["alt"]) for image in page.images) == sorted(ALT.values())
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in page.images)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert page.tags.count("table") >= 7


def test_page_escapes_what_it_is_given(results: Results):
    html = model_card_html({**FACTS, "name": "<script>alert(1)</script>"}, results)
    assert "<script>" not in html


def test_card_is_written_whole(tmp_path: Path, results: Results, decision: dict[str, Any]):
    write_card(tmp_path / "new", FACTS, results, decision)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["model_card.html", "model_card.md"]
    assert (tmp_path / "new/model_card.md").read_text(encoding="utf-8") == model_card(
        FACTS, results, decision
    )
