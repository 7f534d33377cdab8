"""What a train run leaves behind: files in reports/ and a short table on the terminal."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from zenml.client import Client
from zenml.enums import StackComponentType

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse, StepRunResponse

SHOWN = {
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "brier": "Brier",
    "ece": "ECE",
    "recall_at_budget": "recall*",
}
FOLDERS = {
    "report_quality": "quality_report",
    "draw_reports": "reports",
    "validate_data": "data_reports",
    "summarise": "summary",
}


OPTIONAL = (
    StackComponentType.EXPERIMENT_TRACKER,
    StackComponentType.MODEL_REGISTRY,
    StackComponentType.DATA_VALIDATOR,
)


def export(run: PipelineRunResponse, folder: Path) -> None:
    """Put the run's reports, cached or not, into `folder`, all or none; those of the run before go."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = run.steps  # each look asks the store
    with TemporaryDirectory(prefix=".", dir=folder) as part:
        for step, output in FOLDERS.items():
            if step in steps:
                made = steps[step].outputs[output][0].load()
                shutil.copytree(made.path, part, dirs_exist_ok=True)
                shutil.rmtree(made.path)
        _replace(folder, Path(part))


def _replace(folder: Path, part: Path) -> None:
    """Move all that is in `part` into `folder`, and remove what the run before had put there."""
    listed, new = folder / ".of-training.json", {path.name for path in part.iterdir()}
    before = set(json.loads(listed.read_text(encoding="utf-8"))) if listed.exists() else set()
    listed.write_text(json.dumps(sorted(new | before)), encoding="utf-8")
    for name in before | new:
        old = folder / name
        if name not in new or old.is_dir():
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        if name in new:
            os.replace(part / name, old)
    listed.write_text(json.dumps(sorted(new)), encoding="utf-8")


def show(run: PipelineRunResponse, folder: Path, stack: str, seconds: float, console: Console) -> None:
    """Print data, metrics beside the baselines and the champion, the decision, and what to do next."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    what = "the synthetic sample" if summary["synthetic"] else summary["source"]
    decision = summary["decision"]
    verdict = "[green]Promoted.[/]" if decision["promote"] else "[yellow]Not promoted.[/]"
    champion = f"version {summary['champion_version']}" if summary["champion_version"] else "nobody yet"
    steps = run.steps  # each look asks the store
    cached = sum(step.status == "cached" for step in steps.values())
    lines = [
        f"\n[bold]{summary['name']}[/], learnt from {what}, {', '.join(map(str, summary['years']))}",
        *(f"[yellow]{escape(warning)}[/]" for warning in _warnings(steps)),
        summary["split"]["description"],
        _metrics(summary),
        f"[bold]{verdict}[/] {escape(decision['reason'])}",
        *map(escape, decision["notes"]),
        f"{_registered(steps, summary['model_version'])}; champion: {champion}. Stack {stack}{_left_out()}.",
        f"Reports: {folder.name}/model_card.html, and the pictures beside it. Dashboard: make dashboard",
        f"{seconds:.0f} s, {cached} of {len(steps)} steps cached. Next: {_next(decision)}",
    ]
    for line in lines:
        console.print(line, highlight=False)


def _warnings(steps: Mapping[str, StepRunResponse]) -> list[str]:
    """What reading the files has to say of them."""
    facts: dict[str, Any] = steps["load_data"].outputs["data_facts"][0].load()
    return list(facts.get("warnings", ()))


def _registered(steps: Mapping[str, StepRunResponse], version: str) -> str:
    step = steps["register_model"]
    if step.status != "cached" and step.outputs["newly_registered"][0].load():
        return f"This is version {version}, newly registered"
    return f"The same data, parameters and code as before: this is version {version}, nothing was registered"


def _left_out() -> str:
    """What the active stack has no component for, in words."""
    components = Client().active_stack_model.components
    missing = [kind.value.replace("_", " ") for kind in OPTIONAL if kind not in components]
    return f", which has no {', no '.join(missing)}: left out" if missing else ""


def _next(decision: dict[str, Any]) -> str:
    if decision["promote"] or decision["rule"] == "same":
        return "[bold]python run.py --pipeline deploy[/], which serves the champion"
    return "[bold]python run.py promote VERSION[/] to promote it all the same"


def _metrics(summary: dict[str, Any]) -> Table:
    """One row a model; a 95 % interval under each figure."""
    budget = f"* of severe accidents, among the {summary['budget']:.0%} of accidents given priority"
    table = Table(
        box=SIMPLE_HEAD,
        caption=f"{budget}; below: 95 % intervals",
        caption_justify="left",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("on the test part")
    for title in SHOWN.values():
        table.add_column(title)
    measured = summary["evaluations"]
    rows = {"model": measured["model"], "champion": summary["decision"]["champion"], **measured}
    for name, evaluation in rows.items():
        if evaluation:
            cells = (_cell(evaluation["metrics"][metric]) for metric in SHOWN)
            table.add_row(name.replace("_", " "), *cells)
    return table


def _cell(estimate: dict[str, float | None]) -> str:
    if estimate["value"] is None:
        return "-"
    value, low, high = (f"{estimate[end]:.3f}" for end in ("value", "low", "high"))
    return f"{value}\n[dim]{low.removeprefix('0')}-{high.removeprefix('0')}[/]"
