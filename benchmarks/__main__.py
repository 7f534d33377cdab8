"""Run benchmarks and write docs/benchmarks.md: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from accidents.did_you_mean import nearest
from accidents.errors import AccidentsError
from accidents.files import ROOT
from benchmarks import own_commands
from benchmarks.options import Options, SkippedError
from benchmarks.results_page import Outcome, Section, assemble, keep, markdown, this_machine


@dataclass(frozen=True)
class Benchmark:
    """A section of the document, and how to get its content."""

    title: str
    run: Callable[[Options], Outcome]


def _own(name: str) -> Benchmark:
    module = importlib.import_module(name)
    return Benchmark(module.TITLE, module.run)


def _printed(module: str, title: str, about: str, targets: own_commands.Targets | None = None) -> Benchmark:
    return Benchmark(title, lambda options: own_commands.run(module, about, targets or {}, options))


REAL_2018: own_commands.Targets = {
    ("dispatch", "mean of 5 folds, random"): {"roc_auc": 0.825, "pr_auc": 0.735},
    ("dispatch", "5 folds, random"): {"ece": 0.02},
    ("on_scene", "mean of 5 folds, random"): {"roc_auc": 0.831, "pr_auc": 0.748},
    ("on_scene", "5 folds, random"): {"ece": 0.02},
}


# In the order of the document. A new one: a module with TITLE and run(options) -> Outcome, and a line here.
BENCHMARKS: Mapping[str, Benchmark] = {
    "prepare": _own("benchmarks.prepare"),
    "scale": _own("benchmarks.scale"),
    "zenml_overhead": _own("benchmarks.zenml_overhead"),
    "serving": _own("benchmarks.serving"),
    "scale_out": _own("benchmarks.scale_out"),
    "twelve_million": _own("benchmarks.twelve_million"),
    "scale_out_predictions": _own("benchmarks.scale_out_predictions"),
    "rollout": _own("benchmarks.rollout"),
    "soak": _own("benchmarks.soak"),
    "batch": _own("benchmarks.batch"),
    "containers": _own("benchmarks.containers"),
    "kubernetes": _own("benchmarks.kubernetes"),
    "commands": _own("benchmarks.commands"),
    "drift": _own("benchmarks.drift"),
    "monitor_scale": _own("benchmarks.monitor_scale"),
    "monitor_millions": _own("benchmarks.monitor_millions"),
    "signal": _own("benchmarks.sample_signal"),
    "real_2018": _printed(
        "benchmarks.real_2018",
        "On real 2018",
        "The default model on the one complete real year; each accident is predicted by a model that has not "
        "seen it: random folds, whole regions left out, the last months after the earlier ones.",
        REAL_2018,
    ),
    "transfer": _printed(
        "benchmarks.transfer",
        "What each choice gains on other times and places",
        "The defaults (two bags), and what one choice at a time adds to their ROC-AUC / PR-AUC on accidents "
        "of later months, of 2021 (joined rows, chosen by their label: compare rows of the table), of "
        "regions not learnt from, and of a sample year in which something has changed. Bold: more than three "
        "standard deviations over seeds. Chance of the test accidents themselves is not in it.",
    ),
    "recalibration": _own("benchmarks.recalibration"),
    "others_protocol": _printed(
        "benchmarks.others_protocol",
        "In others' protocol",
        "Only for comparison with published course projects: joined rows of 2021, the row of an accident "
        "chosen by its label, and a random split. In use, figures are lower (docs/evaluation.md).",
    ),
}


def main(words: Sequence[str]) -> int:
    """Run the benchmarks named, or all; 1 if one of them could not be measured."""
    arguments = _parser().parse_args(words)
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        near = nearest(unknown[0], BENCHMARKS) or ", ".join(BENCHMARKS)
        print(f"Error: there is no benchmark {unknown[0]!r}. Did you mean: {near}?", file=sys.stderr)
        return 1
    chosen = {name: BENCHMARKS[name] for name in arguments.names or BENCHMARKS}
    options = Options(arguments.baac, arguments.quick)
    ran = [_measure(name, benchmark, options, arguments.results) for name, benchmark in chosen.items()]
    if not options.quick:
        titles = {name: benchmark.title for name, benchmark in BENCHMARKS.items()}
        assemble(titles, arguments.results, arguments.document)
        print(f"Written: {arguments.document.name}", file=sys.stderr)
    return 0 if all(ran) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all, or some of: {', '.join(BENCHMARKS)}")
    parser.add_argument(
        "--baac", type=Path, default=ROOT.parent / "shared" / "baac", help="folder of the real files"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small versions, to see that they work; nothing is kept"
    )
    parser.add_argument(
        "--results", type=Path, default=ROOT / "benchmarks" / "results", help="where figures are kept"
    )
    parser.add_argument(
        "--document", type=Path, default=ROOT / "docs" / "benchmarks.md", help="what is written"
    )
    return parser


def _measure(name: str, benchmark: Benchmark, options: Options, results: Path) -> bool:
    """Run one, print its section, keep it unless it is a small version. False if it failed."""
    machine, started = this_machine(), time.perf_counter()
    print(f"{name}: {benchmark.title} ...", file=sys.stderr, flush=True)
    try:
        outcome = benchmark.run(options)
    except SkippedError as reason:
        print(f"{name}: skipped, {reason}.", file=sys.stderr)
        return True
    except AccidentsError as error:
        print(f"{name}: Error: {error}", file=sys.stderr)
        return False
    section = Section(
        title=benchmark.title, command=f"python -m benchmarks {name}", outcome=outcome, machine=machine
    )
    if not options.quick:
        section = keep(results, name, section)
        missed = [figure for figure in section.outcome.figures if figure.met is False and not figure.why]
        for figure in missed:
            print(
                f"{name}: not met and not explained: {figure.what}. Say why in results/{name}.json.",
                file=sys.stderr,
            )
    else:
        print(f"{name}: a small version, so the targets do not apply", file=sys.stderr)
    print(markdown(section), flush=True)
    print(f"{name}: took {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return True


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
