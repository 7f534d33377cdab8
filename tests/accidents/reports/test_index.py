"""reports/index.html leads to all that is there, and says what the last training found."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import pytest

from accidents.reports.index import write_index

SUMMARY = {
    "name": "accident-severity-dispatch",
    "synthetic": True,
    "model_version": "3",
    "champion_version": "",
    "decision": {"promote": False, "reason": "roc_auc 0.7 < 0.75"},
    "source": "sample",
    "years": [2021, 2022],
    "split": {"description": "Split by time."},
    "data_version": "abc.dir",
    "evaluations": {
        "model": {
            "metrics": {
                "roc_auc": {"value": 0.7, "low": 0.65, "high": 0.75},
                "pr_auc": {"value": 0.6, "low": 0.55, "high": 0.65},
                "ece": {"value": None, "low": None, "high": None},
                "recall_at_budget": {"value": 0.4, "low": 0.3, "high": 0.5},
            }
        }
    },
}
LOOK = {
    "created": "2026-11-27T05:06:29.702311Z",
    "decision": {"action": "keep", "reasons": ["Nothing was found."]},
}


def links(folder: Path) -> list[str]:
    return [unquote(found) for found in re.findall(r'href="([^"]+)"', (folder / "index.html").read_text())]


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    for name in (
        "model_card.html",
        "lift.png",
        "own.txt",
        "plots/roc.csv",
        "replay/replay.png",
        "monitor/report.html",
        "inference/a b/report.html",
        "inference/a b/year=2022/part.0.parquet",
        "inference/a b/year=2023/part.0.parquet",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    (tmp_path / "monitor" / "monitor.json").write_text(json.dumps(LOOK))
    (tmp_path / ".of-training.json").write_text("[]")
    return tmp_path


def test_it_leads_to_every_file_and_to_no_other(reports: Path) -> None:
    write_index(reports)
    write_index(reports)  # and not to itself
    there = {path.relative_to(reports).as_posix() for path in reports.rglob("[!.]*") if path.is_file()}
    assert set(links(reports)) == there - {"index.html"}
    assert links(reports)[0] == "model_card.html"
    assert ">year=2023/part.0.parquet</a>" in (reports / "index.html").read_text(), "each is told apart"


def test_the_facts_are_on_top(reports: Path) -> None:
    write_index(reports)
    text = (reports / "index.html").read_text()
    top = text[: text.index("<h2>Training")]
    for fact in (
        "synthetic data",
        "not promoted: roc_auc 0.7 &lt; 0.75",
        "nobody yet",
        "0.700 [0.650, 0.750]",
        "2026-11-27 05:06 UTC",
        "keep",
    ):
        assert fact in top
    assert "None" not in text


RUN = {"When": "2026-11-28 12:00 UTC", "Stack": "local", "Commit": "1a2b3c"}


@pytest.mark.parametrize(
    ("part", "stands"),
    [(".", "<h1>"), ("monitor", "Last look"), ("replay", "Replay"), ("inference/a b", "Scored: a b")],
)
def test_each_run_is_named_with_when_where_and_of_which_commit(reports: Path, part: str, stands: str) -> None:
    write_index(reports, reports / part, RUN)
    write_index(reports, reports / "inference" / "gone", {"Stack": "another"})
    text = (reports / "index.html").read_text()
    after = text.partition(stands)[2].partition("<h2>")[0]
    assert all(f">{name}<" in after or f"{name}: " in after for name in RUN)
    assert RUN["Stack"] in after
    assert RUN["Commit"] in after
    assert (RUN["When"] in after) == (part != "monitor"), "a look says when it was itself"
    assert "another" not in text


def test_of_runs_that_end_together_each_is_named(reports: Path) -> None:
    """As the years of an inference do that are scored at once."""
    years = [f"202{digit}" for digit in range(8)]
    for year in years:
        (reports / "inference" / year).mkdir()
    with ThreadPoolExecutor(len(years)) as runs:
        list(runs.map(lambda year: write_index(reports, reports / "inference" / year, RUN), years))
    noted = json.loads((reports / ".runs.json").read_text())
    assert sorted(noted) == [f"inference/{year}" for year in years]


def test_without_any_run_it_says_so(tmp_path: Path) -> None:
    write_index(tmp_path)
    assert "Nothing has been trained here yet" in (tmp_path / "index.html").read_text()
    assert links(tmp_path) == []
