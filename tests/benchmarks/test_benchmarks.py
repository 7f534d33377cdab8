"""How results are kept and put together, and that the small versions run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from accidents.data.sample_partitions import write_partitions
from accidents.errors import AccidentsError
from accidents.params import load_params
from benchmarks import containers, scale_out, zenml_overhead
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.options import Options, SkippedError
from benchmarks.own_commands import figures
from benchmarks.project_copy import copy_project
from benchmarks.results_page import (
    Figure,
    Outcome,
    Section,
    assemble,
    keep,
    lower_headings,
    markdown,
    read,
    table,
    this_machine,
)
from benchmarks.separate_process import Measured, clean_environment, measure, peak_gib
from benchmarks.slow_relay import slow_relay
from benchmarks.zenml_overhead import NO_REFIT, SMALL
from tests.conftest import ROOT
from tests.serving.v2_stand_in import NAME, stand_in

SLOW = Figure(what="Speed", target="at most 3 times", figure="4.1 times", met=False)


def section(*figures: Figure, about: str = "What is measured.") -> Section:
    return Section(
        title="Preparing data",
        command="python -m benchmarks prepare",
        outcome=Outcome(about=about, figures=figures, body="# Its own heading\n\nMore."),
        machine=this_machine(),
    )


def grow(mib: int) -> int:
    """For `measure`: hold that much for a moment."""
    return len(bytearray(mib * 2**20).replace(b"\0", b"\1"))


def fail() -> None:
    """For `measure`."""
    raise ValueError("on purpose")


def test_a_section_has_the_table_the_command_and_the_machine() -> None:
    met = Figure(what="Memory", target="at most 3 GiB", figure="1.2 GiB", met=True)
    told = Figure(what="For the record", target="", figure="12 s")
    text = markdown(section(met, SLOW.model_copy(update={"why": "A reason."}), told))
    assert text.startswith("## Preparing data\n\nWhat is measured.")
    assert "`python -m benchmarks prepare`" in text
    assert "| Memory | at most 3 GiB | 1.2 GiB | yes |" in text
    assert "| Speed | at most 3 times | 4.1 times | **no** |" in text
    assert "| For the record |  | 12 s |  |" in text
    assert "**Not met: Speed.** A reason." in text
    assert "\n### Its own heading\n" in text
    assert re.search(r"Measured on \d+ cores, \d+ GiB, .*Python 3\.\d+.*pandas 3\.", text)


def test_a_machine_says_neither_its_name_nor_where_things_are() -> None:
    import platform

    line = this_machine().line()
    assert platform.node() not in line
    assert str(ROOT) not in line
    assert "/" not in line


def test_the_explanation_of_a_miss_is_that_of_its_figure(tmp_path: Path) -> None:
    explained = SLOW.model_copy(update={"why": "A reason."})
    keep(tmp_path, "prepare", section(explained))
    again = keep(tmp_path, "prepare", section(SLOW))
    assert again.outcome.figures[0].why == "A reason."
    assert read(tmp_path, "prepare") == again
    for other in ({"figure": "2 times", "met": True}, {"figure": "9.7 times"}):
        keep(tmp_path, "prepare", section(explained))
        kept = keep(tmp_path, "prepare", section(SLOW.model_copy(update=other)))
        assert kept.outcome.figures[0].why == ""


def test_what_a_printed_table_falls_short_of_is_told() -> None:
    printed = (
        "| stage | protocol | roc_auc | ece |\n|---|---|---|---|\n"
        "| dispatch | 5 folds | 0.8226 (0.8159-0.8267) | - |\n| dispatch | later | 0.9000 | 0.0300 (0-1) |\n"
    )
    found = figures(
        printed, {("dispatch", "5 folds"): {"roc_auc": 0.825}, ("dispatch", "later"): {"ece": 0.03}}
    )
    assert [(one.what, one.target, one.figure, one.met) for one in found] == [
        ("ROC-AUC, dispatch, 5 folds", "at least 0.825", "0.8226", False),
        ("ECE, dispatch, later", "at most 0.03", "0.0300", True),
    ]
    assert figures("no table", {}) == ()


def test_the_document_is_what_the_results_say(tmp_path: Path) -> None:
    titles = {name: benchmark.title for name, benchmark in BENCHMARKS.items()}
    assemble(titles, ROOT / "benchmarks" / "results", tmp_path / "made.md")
    assert (tmp_path / "made.md").read_text() == (ROOT / "docs" / "benchmarks.md").read_text()


def test_budgets_are_proved_on_the_base_of_the_dockerfiles_alone() -> None:
    own = containers.base_of_dockerfile()
    assert containers.in_words(["another:name", own], 129.8) == f"130 MB are their base, `{own}`."
    on_another = containers.in_words(["accidents-base:bookworm"], 123.3)
    assert on_another.startswith("123 MB are their base, `accidents-base:bookworm` (")
    assert f"`{own}`" in on_another
    for said in (on_another, containers.in_words([], 0)):
        assert said.endswith("on that one the budgets are unproved.")


@pytest.mark.parametrize("same", [True, False])
def test_another_model_on_dask_is_a_figure_that_is_not_met(
    monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    pytest.importorskip("distributed")
    files = {"train_locally": {"trees": "a"}, "train_on_dask": {"trees": "a" if same else "b"}}

    def measured(name: str, **_: object) -> Measured:
        called = name.partition(":")[2]
        flat = {"1": {"work": 1.0, "all": 1.0}}
        told = {
            "total": 1.0, "phases": {}, "scoring": 1.0, "seconds": 1.0, "model": "",
            "model_files": files.get(called),
        }  # fmt: skip
        return Measured(result=flat if called == "by_partitions" else told, peak_gib=0.1)

    monkeypatch.setattr(scale_out, "measure", measured)
    (figure,) = (
        one for one in scale_out.outcome(1, accidents=2_000).figures if "same to the byte" in one.what
    )
    assert figure.met is same


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Dask's own, as its cluster ends
def test_a_run_on_dask_leaves_its_report_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed")
    params = load_params(ROOT / "params.yaml")
    small = {
        "model": params.model.model_copy(update={"bags": 1, "n_estimators": 5}),
        "evaluation": params.evaluation.model_copy(update={"n_bootstrap": 100}),
    }
    monkeypatch.setattr(scale_out, "load_params", lambda _: params.model_copy(update=small))
    source, report = str(tmp_path / "sample"), tmp_path / "reports" / "run.html"
    write_partitions(source, scale_out.YEARS[-3:], accidents=1_000, processes=1)
    scale_out.train_on_dask(source, str(tmp_path / "work"), str(report))
    assert "Dask Performance Report" in report.read_text(encoding="utf-8")
    assert f"Dask's report of the run: {report}" in capsys.readouterr().err


def test_a_document_has_every_benchmark_and_renewing_one_leaves_the_others(tmp_path: Path) -> None:
    titles = {"prepare": "Preparing data", "scale": "Training at full size", "signal": "Signal"}
    document = tmp_path / "docs" / "benchmarks.md"
    keep(tmp_path, "prepare", section(about="First."))
    keep(tmp_path, "signal", section(about="Second."))
    assemble(titles, tmp_path, document)
    first = document.read_text(encoding="utf-8")
    assert first.index("First.") < first.index("## Training at full size") < first.index("Second.")
    assert "Not measured yet: `python -m benchmarks scale`" in first
    keep(tmp_path, "signal", section(about="Third."))
    assemble(titles, tmp_path, document)
    second = document.read_text(encoding="utf-8")
    assert second.split("Third.")[0] == first.split("Second.")[0]
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_broken_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "prepare.json").write_text('{"title": 1}', encoding="utf-8")
    with pytest.raises(AccidentsError, match=r"(?s)prepare\.json.*python -m benchmarks prepare"):
        read(tmp_path, "prepare")


def test_headings_in_code_stay() -> None:
    text = "# One\n```\n# a comment\n```\n## Two\n"
    assert lower_headings(text) == "### One\n```\n# a comment\n```\n### Two\n"


def test_a_table_escapes_its_bars() -> None:
    assert table(("a", "b"), [("1|2", "3")]).splitlines()[-1] == "| 1\\|2 | 3 |"


def test_kept_results_are_those_of_benchmarks_there_are() -> None:
    """What is committed can be read, and nothing of a benchmark that is gone is left."""
    kept = sorted(path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json"))
    assert set(kept) <= set(BENCHMARKS)
    assert all(read(ROOT / "benchmarks" / "results", name) for name in kept)


def test_an_unknown_name_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepair"]) == 1
    assert "Did you mean: prepare?" in capsys.readouterr().err


def test_without_real_files_what_needs_them_is_skipped_and_keeps_its_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SkippedError, match="real files of 2018"):
        Options(tmp_path / "none").must_have(2018)
    before = keep(tmp_path, "signal", section(about="As it was."))
    words = ["signal", "real_2018", "--baac", str(tmp_path / "none")]
    assert main([*words, "--results", str(tmp_path), "--document", str(tmp_path / "b.md")]) == 0
    assert capsys.readouterr().err.count("skipped, it needs the real files") == 2
    assert read(tmp_path, "signal") == before
    assert "As it was." in (tmp_path / "b.md").read_text(encoding="utf-8")


def test_a_child_has_a_peak_of_its_own() -> None:
    held = bytearray(600 * 2**20).replace(b"\0", b"\1")  # what we hold must not count
    assert len(held) / 2**30 < peak_gib()
    small = measure("tests.benchmarks.test_benchmarks:grow", mib=1)
    large = measure("tests.benchmarks.test_benchmarks:grow", mib=400)
    assert small.result == 2**20
    assert small.peak_gib < 0.5
    assert 0.35 < large.peak_gib - small.peak_gib < 1


def test_a_child_that_fails_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AccidentsError, match=r"test_benchmarks:fail ended with 1"):
        measure("tests.benchmarks.test_benchmarks:fail")
    assert "on purpose" in capfd.readouterr().err


def test_a_copy_of_the_project_is_small_and_whole(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "copy", {**SMALL, **NO_REFIT})
    params = (folder / "params.yaml").read_text(encoding="utf-8")
    assert all(text in params for text in (*SMALL.values(), *NO_REFIT.values()))
    assert not list(folder.rglob("__pycache__"))
    assert not (folder / "data").exists()
    assert (folder / ".dvc" / "config").exists()


def test_what_a_refit_costs_is_a_ratio_of_runs_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    walls = iter([(30.0, 20.0), (40.0, 20.0), (99.0, 90.0)])

    def pair(_: bool) -> dict[str, zenml_overhead.Seconds]:
        cold, no_refit = next(walls)
        seconds = dict.fromkeys(zenml_overhead.WAYS, 10.0) | {"cold": cold, "no_refit": no_refit}
        return {way: zenml_overhead.Seconds(wall, wall) for way, wall in seconds.items()}

    monkeypatch.setattr(zenml_overhead, "_pair", pair)
    outcome = zenml_overhead.run(Options(Path()))
    (cost,) = (figure for figure in outcome.figures if "refit" in figure.what)
    assert (cost.figure, cost.target, cost.met) == ("1.50 times", "at most 1.6 times", True)
    assert "| the same with `refit: false` | 20.0 | 20.0 |" in outcome.body


def test_a_copy_that_cannot_be_made_smaller_says_so(tmp_path: Path) -> None:
    with pytest.raises(AccidentsError, match="'no such text' is no longer in"):
        copy_project(tmp_path / "copy", {"no such text": ""})


@pytest.mark.slow
def test_the_work_of_train_as_plain_calls_ends_with_its_reports(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "plain", SMALL, compiled=True)
    words = [sys.executable, "-m", "benchmarks.plain_train", "seconds.json"]
    done = subprocess.run(
        words, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "reports" / "metrics.json").read_text())["roc_auc"] > 0.6
    assert json.loads((folder / "seconds.json").read_text())["wall"] > 0


@pytest.mark.slow
def test_the_small_version_of_prepare_runs_and_keeps_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the sample alone, as on a machine without the real files."""
    words = ["prepare", "--quick", "--baac", str(tmp_path / "none"), "--results", str(tmp_path / "results")]
    assert main([*words, "--document", str(tmp_path / "benchmarks.md")]) == 0
    printed = capsys.readouterr().out
    assert "Preparing the sample's 2018, against plain `pandas.read_csv`" in printed
    ratios = [float(number) for number in re.findall(r"\| ([\d.]+) times \|", printed)]
    assert len(ratios) == 2
    assert all(0 < ratio < 100 for ratio in ratios)
    assert "3 sample years, 6,000 accidents" in printed
    assert not list(tmp_path.iterdir())


def test_a_slow_relay_holds_back_every_request_and_loses_none() -> None:
    with stand_in() as model, slow_relay(model.address, 0.2) as slow, httpx.Client(base_url=slow) as client:
        for _ in range(2):  # on one connection
            begun = time.perf_counter()
            assert client.get(f"/v2/models/{NAME}").json() == model.metadata()
            assert time.perf_counter() - begun >= 0.2
