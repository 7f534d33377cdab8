"""The model report: what it says of two trainings, what of missing ones, and its one comment."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accidents.evaluation.metrics import Estimate
from benchmarks.compare import main
from benchmarks.model_report import in_words
from benchmarks.pull_request_comment import LONGEST, MARKER, pull_request
from benchmarks.pull_request_comment import main as post
from tests.benchmarks.fake_github import REPOSITORY, TOKEN, FakeGitHub, fake_github
from tests.conftest import ROOT


def write_reports(folder: Path, roc_auc: float, slices: bool = True, gate: bool = True, **facts: Any) -> Path:
    """A folder as a training leaves it."""
    metrics = {
        "roc_auc": {"value": roc_auc, "low": roc_auc - 0.01, "high": roc_auc + 0.01},
        "ece": {"value": 0.02, "low": 0.01, "high": 0.03},
    }
    small = {"slice": "region", "group": "Corse", "accidents": 9, "metrics": None}
    parts = [{"slice": "pedestrians", "group": "hit", "accidents": 1234, "metrics": metrics}, small]
    summary = {
        "synthetic": True,
        "data_version": "abc",
        "split": {"method": "time"},
        "stage": "dispatch",
        "evaluations": {"model": {"metrics": metrics}},
        "decision": {"gates": [{"gate": "roc_auc", "passed": gate, "found": f"{roc_auc}"}]},
        **({"slices": parts} if slices else {}),
        **facts,
    }
    (folder / "plots").mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "metrics.json").write_text(json.dumps({name: each["value"] for name, each in metrics.items()}))
    curve = f"false_positive_rate,true_positive_rate\n0,0\n0.5,{roc_auc}\n1,1\n"
    (folder / "plots" / "roc.csv").write_text(curve)
    return folder


def report(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after", "higher_is_better", "said"),
    [
        ((0.80, 0.79, 0.81), (0.80, 0.79, 0.81), True, "the same"),
        ((0.80, 0.79, 0.81), (0.85, 0.84, 0.86), True, "**better**: the intervals do not meet"),
        ((0.80, 0.79, 0.81), (0.85, 0.84, 0.86), False, "**worse**: the intervals do not meet"),
        ((0.80, 0.79, 0.81), (0.795, 0.785, 0.805), True, "worse by less than chance may make"),
        ((0.80, 0.79, 0.81), (0.815, 0.805, 0.825), True, "perhaps better: outside"),
        ((0.80, 0.79, 0.81), (math.nan, math.nan, math.nan), True, "not measured in both"),
    ],
)
def test_intervals_are_told_in_words(
    before: tuple[float, float, float], after: tuple[float, float, float], higher_is_better: bool, said: str
) -> None:
    assert in_words(Estimate(*before), Estimate(*after), higher_is_better).startswith(said)


def test_it_shows_metrics_gates_slices_and_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = write_reports(tmp_path / "main", 0.80)
    after = write_reports(tmp_path / "branch", 0.75, gate=False)
    said = report(capsys, before, after)
    assert said.startswith(MARKER)
    assert "1 of 2 metrics worse, beyond the intervals." in said
    row = "| 0.800 [0.790, 0.810] | 0.750 [0.740, 0.760] | ▼ -0.0500 🔴 | **worse**"
    assert f"| ROC-AUC {row}" in said
    assert f"| pedestrians: hit | 1,234 {row}" in said
    assert "in 1 parts of the test set, 1 beyond" in said, "a part too small to measure is no row"
    assert "| ECE | 0.020 [0.010, 0.030] | 0.020 [0.010, 0.030] | = 0 | the same |" in said
    assert "**Gates:** 0 of 1 passed." in said
    assert "| roc_auc | passed: 0.8 | **failed**: 0.75 |" in said
    assert "1 curves, at most 0.050 apart" in said
    assert "synthetic" in said


def test_what_is_the_same_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = [write_reports(tmp_path / name, 0.8) for name in ("main", "branch")]
    said = report(capsys, *both)
    assert "No metric changes." in said
    assert "🔴" not in said
    assert "**Gates:** 1 of 1 passed.\n\n<details>" in said


def test_figures_of_other_accidents_are_not_passed_off_as_comparable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = write_reports(tmp_path / "main", 0.8, slices=False)
    after = write_reports(tmp_path / "branch", 0.8, data_version="def", split={"method": "random"})
    said = report(capsys, before, after)
    assert "**The data is another one**" in said
    assert "**The split is another one**" in said
    assert f"**Slices:** `{before}` told none" in said


def test_what_one_side_alone_has_is_named_and_is_no_agreement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = (write_reports(tmp_path / name, 0.8) for name in ("main", "branch"))
    summary = json.loads((after / "summary.json").read_text())
    metrics = summary["evaluations"]["model"]["metrics"]
    summary["evaluations"]["model"]["metrics"] = {"brier": metrics["ece"]}
    summary["slices"][0]["group"] = "hurt"
    (after / "summary.json").write_text(json.dumps(summary))
    said = report(capsys, before, after)
    assert "No metric is told by both" in said
    assert "No metric changes" not in said
    assert f"only `{before}` has ece, roc_auc; only `{after}` has brier." in said
    assert f"only `{before}` has pedestrians: hit; only `{after}` has pedestrians: hurt." in said


def test_it_goes_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = [write_reports(tmp_path / name, 0.8) for name in ("main", "branch")]
    assert report(capsys, *both, "--output", tmp_path / "report.md") == ""
    assert (tmp_path / "report.md").read_text().startswith(MARKER)


@pytest.mark.parametrize("broken", ["missing", "no JSON", "other", "half"])
def test_a_report_that_is_missing_or_broken_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    before, after = (write_reports(tmp_path / name, 0.8) for name in ("main", "branch"))
    metrics, summary = before / "metrics.json", before / "summary.json"
    if broken == "missing":
        metrics.unlink()
    elif broken == "no JSON":
        metrics.write_text("<html>")
    elif broken == "other":
        metrics.write_text('{"roc_auc": 0.7}')
    else:
        summary.write_text("{}")
    assert main([str(before), str(after)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert f"`{before}`: " in said
    assert "make train" in said
    wanted = {"missing": "no metrics.json", "no JSON": "not the JSON", "other": "roc_auc", "half": "figures"}
    assert wanted[broken] in said


def test_a_revision_that_git_does_not_know_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-branch", "HEAD"]) == 1
    said = capsys.readouterr().err
    assert "no revision 'no-such-branch'" in said
    assert "git fetch" in said
    assert main(["--output=x", "--", "--help", "HEAD"]) == 1, "an option is no revision of git's either"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two revisions whose training takes a moment, and of one that does not train."""
    folder = tmp_path / "repository"
    (folder / "requirements").mkdir(parents=True)
    (folder / "requirements" / "train.txt").write_text("")
    writer = (
        "import shutil, sys\nassert sys.argv[1:] == ['--pipeline', 'train']\nprint('trained')\n"
        "with open({count!r}, 'a') as file: file.write('1')\n"
        "shutil.copytree({made!r}, 'reports')\n"
    )
    git(folder, "init", "--quiet", "--initial-branch=main")
    for name, roc_auc in (("main", 0.8), ("branch", 0.85)):
        made = str(write_reports(tmp_path / name, roc_auc))
        (folder / "run.py").write_text(writer.format(count=str(tmp_path / "trainings"), made=made))
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", name)
        git(folder, "tag", f"of-{name}")
    (folder / "run.py").write_text("raise SystemExit('no such parameter')")
    git(folder, "commit", "--quiet", "--all", "--message", "broken")
    return folder


def git(folder: Path, *words: str) -> None:
    person = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *person, *words], cwd=folder, check=True)


def test_each_revision_is_trained_once(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main(["of-main", "of-branch"], repository) == 0
        said = capsys.readouterr().out
        assert "▲ +0.0500 🟢" in said
        assert "`of-main` (" in said
    assert (tmp_path / "trainings").read_text() == "11"


def test_a_revision_that_does_not_train_is_told_and_not_kept(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["of-main", "HEAD"], repository) == 1
    assert "does not train; it ended with:\nno such parameter" in capsys.readouterr().err
    assert len(list((repository / ".cache" / "reports").iterdir())) == 1


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    with fake_github() as fake:
        monkeypatch.setenv("GITHUB_API_URL", fake.url)
        monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        yield fake


def test_there_is_one_comment_which_is_put_in_place_of_the_last(
    github: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    github.comments += [{"id": number, "body": f"A person quotes {MARKER}"} for number in range(1, 131)]
    file = tmp_path / "report.md"
    for text in ("first", "second"):
        file.write_text(f"{MARKER}\n{text}")
        assert post([str(file), "12"]) == 0
        assert capsys.readouterr().out.endswith("/pull/12#issuecomment-131\n")
    assert [each["body"] for each in github.comments[130:]] == [f"{MARKER}\nsecond"]
    assert [line.split()[0] for line in github.asked] == ["GET", "GET", "POST", "GET", "GET", "PATCH"]


def test_a_comparison_posts_it(github: FakeGitHub, tmp_path: Path) -> None:
    both = [str(write_reports(tmp_path / name, 0.8)) for name in ("main", "branch")]
    assert main([*both, "--post", "12"]) == 0
    assert [each["body"].splitlines()[0] for each in github.comments] == [MARKER]


def test_a_comment_that_is_too_long_loses_what_is_folded_away(github: FakeGitHub) -> None:
    target = pull_request("12", {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": REPOSITORY,
                                 "GITHUB_TOKEN": TOKEN})  # fmt: skip
    target.comment(f"{MARKER}\n<details>{'x' * LONGEST}</details>\nthe end")
    assert github.comments[0]["body"].endswith("too long.*\nthe end")


@pytest.mark.parametrize(
    ("name", "value", "number", "said"),
    [
        ("GITHUB_TOKEN", "wrong", "12", "GITHUB_TOKEN is not valid"),
        ("GITHUB_TOKEN", "", "12", "set GITHUB_TOKEN"),
        ("GITHUB_REPOSITORY", "owner/other", "12", "Is there a pull request 12"),
        ("GITHUB_API_URL", "http://127.0.0.1:9", "12", "does not answer"),
        ("GITHUB_REPOSITORY", REPOSITORY, "1/../2", "not '1/../2'"),
        ("GITHUB_REPOSITORY", REPOSITORY, "12", "pull-requests: write"),
    ],
)
def test_what_github_refuses_is_told_without_the_token(
    github: FakeGitHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    number: str,
    said: str,
) -> None:
    github.read_only = True
    monkeypatch.setenv(name, value)
    (tmp_path / "report.md").write_text(MARKER)
    assert post([str(tmp_path / "report.md"), number]) == 1
    printed = capsys.readouterr().err
    assert said in printed
    assert TOKEN not in printed


def test_the_job_that_holds_the_token_needs_no_environment() -> None:
    """`-I -S`: Python alone, without what is installed."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import benchmarks.pull_request_comment"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)
