"""reports/index.html: what all runs have left there, with the facts of the last training and look on top.

The files of equal runs are equal: when, where and of which commit a run was, only the index keeps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from jinja2 import Environment, PackageLoader, StrictUndefined

from accidents.evaluation.metrics import READABLE
from accidents.files import write_whole

NAME = "index.html"
_RUNS = ".runs.json"  # by the folder that a run has left: its facts
_LOCK = ".runs.lock"
Facts = Mapping[str, str]
# What each file is, in the order in which it is listed; what is not here comes last, by its name alone.
_ABOUT = {
    "model_card.html": "Model card: what the model is, how good it is, what it must not be used for",
    "quality_report.html": "Data quality: what reading had to repair, blank, drop or note",
    "data_quality.html": "Data checks of the data validator",
    "data_drift.html": "Drift from the training to the test part",
    "report.html": "Report",
    "roc_and_pr.png": "ROC and precision-recall curves",
    "calibration.png": "Calibration",
    "lift.png": "Lift",
    "slices.png": "Parts of the test set",
    "map.png": "Map",
    "importance.png": "What moves the prediction most",
    "shap_summary.png": "How each feature moves single accidents",
    "drift.html": "Drift of what was looked at",
    "features.png": "Drift, feature by feature",
    "history.png": "Earlier looks",
    "replay.png": "The months of the replay",
}
_METRICS = ("roc_auc", "pr_auc", "ece", "recall_at_budget")


def write_index(folder: Path, part: Path | None = None, run: Facts | None = None) -> None:
    """Write the page whole or not at all, from what `folder`, that of all reports, holds now.

    Runs that end together take turns: each is kept.

    Parameters
    ----------
    part : folder of the run that has just ended: `folder`, or one in it.
    run : what is told of that run beside its files, such as its stack.
    """
    page = Environment(
        loader=PackageLoader("accidents.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    ).get_template("index.html")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / _LOCK):
        runs = _runs(folder)
        if part is not None and run is not None:
            runs[part.relative_to(folder).as_posix()] = run
            write_whole(folder / _RUNS, json.dumps(runs, indent=1))
        text = page.render(
            training=_training(folder, runs.get(".", {})),
            look=_look(folder / "monitor", runs.get("monitor", {})),
            parts=list(_parts(folder, runs)),
        )
        write_whole(folder / NAME, text)


def _runs(folder: Path) -> dict[str, Facts]:
    noted: dict[str, Facts] = _read(folder / _RUNS) or {}
    return {name: facts for name, facts in noted.items() if (folder / name).exists()}


def _training(folder: Path, run: Facts) -> dict[str, Any] | None:
    """Return the facts of the last training, None where there was none."""
    summary = _read(folder / "summary.json")
    if summary is None:
        return None
    decision = summary["decision"]
    measured = summary["evaluations"]["model"]["metrics"]
    return {
        "name": summary["name"],
        "synthetic": summary["synthetic"],
        "rows": {
            "Version": summary["model_version"],
            "Champion after it": summary["champion_version"] or "nobody yet",
            "Decision": f"{'promoted' if decision['promote'] else 'not promoted'}: {decision['reason']}",
            "Learnt from": f"{summary['source']}, {', '.join(map(str, summary['years']))}",
            "Split": summary["split"]["description"],
            "Data version": summary["data_version"],
            **run,
        },
        "metrics": {READABLE[name]: measured[name] for name in _METRICS},
    }


def _look(folder: Path, run: Facts) -> dict[str, str] | None:
    """Return the facts of the monitor's last look, None where there was none."""
    report = _read(folder / "monitor.json")
    if report is None:
        return None
    decision = report["decision"]
    return {
        **run,
        "When": f"{datetime.fromisoformat(report['created']):%Y-%m-%d %H:%M} UTC",
        "Decision": decision["action"],
        "Because": " ".join(decision["reasons"]),
    }


def _parts(folder: Path, runs: Mapping[str, Facts]) -> Iterator[tuple[str, Facts, list[tuple[str, str]]]]:
    """Give each kind of run: facts that are not on top, and files, each by its address and what it is."""
    yield "Training", {}, _files(folder, folder)
    yield "Curves of the training", {}, _files(folder, folder / "plots")
    yield "Monitoring", {}, _files(folder, folder / "monitor")
    yield "Replay", runs.get("replay", {}), _files(folder, folder / "replay")
    for scored in sorted((folder / "inference").glob("*/")):
        facts = runs.get(scored.relative_to(folder).as_posix(), {})
        yield f"Scored: {scored.name}", facts, _files(folder, scored, "**/*")


def _files(root: Path, folder: Path, pattern: str = "*") -> list[tuple[str, str]]:
    """Give a folder's files; those of partitions, which are folders within, have these in their names."""
    order = list(_ABOUT)
    names = {
        path: path.relative_to(folder).as_posix()
        for path in folder.glob(pattern)
        if path.is_file() and path != root / NAME
    }
    there = [path for path, name in names.items() if not re.search(r"(^|/)\.", name)]  # hidden: half written
    there.sort(key=lambda path: (order.index(path.name) if path.name in order else len(order), names[path]))
    return [(path.relative_to(root).as_posix(), _ABOUT.get(path.name, names[path])) for path in there]


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
