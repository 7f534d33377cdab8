"""What a train run leaves behind: which of its folders are files of reports/, and a table on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from zenml.client import Client
from zenml.enums import StackComponentType

if TYPE_CHECKING:
    from pipelines.runs import Run

SHOWN = {
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "brier": "Brier",
    "ece": "ECE",
    "recall_at_budget": "recall*",
}
FOLDERS = (
    ("report_quality", "quality_report"),
    ("draw_reports", "reports"),
    ("validate_data", "data_reports"),
    ("summarise", "summary"),
)


OPTIONAL = (
    StackComponentType.EXPERIMENT_TRACKER,
    StackComponentType.MODEL_REGISTRY,
    StackComponentType.DATA_VALIDATOR,
)


def show(run: Run, summary: dict[str, Any], stack: str, seconds: float, console: Console) -> None:
    """Print data, metrics beside the baselines and the champion, the decision, and what to do next.

    `summary` is what the step `summarise` gave.
    """
    what = "the synthetic sample" if summary["synthetic"] else summary["source"]
    decision = summary["decision"]
    verdict = "[green]Promoted.[/]" if decision["promote"] else "[yellow]Not promoted.[/]"
    champion = f"version {summary['champion_version']}" if summary["champion_version"] else "nobody yet"
    lines = [
        f"\n[bold]{summary['name']}[/], learnt from {what}, {', '.join(map(str, summary['years']))}",
        *(f"[yellow]{escape(warning)}[/]" for warning in _warnings(run)),
        summary["split"]["description"],
        _metrics(summary),
        f"[bold]{verdict}[/] {escape(decision['reason'])}",
        *map(escape, decision["notes"]),
        f"{_registered(run, summary['model_version'])}; champion: {champion}. Stack {stack}{_left_out()}.",
        "Reports: reports/index.html leads to the model card and all others. Dashboard: make dashboard",
        f"{seconds:.0f} s, {run.cached} of {len(run.steps)} steps cached. Next: {_next(decision)}",
    ]
    for line in lines:
        console.print(line, highlight=False)


def _warnings(run: Run) -> list[str]:
    """Return what reading the files has to say of them."""
    facts: dict[str, Any] = run.load("load_data", "data_facts")
    return list(facts.get("warnings", ()))


def _registered(run: Run, version: str) -> str:
    if not run.is_cached("register_model") and run.load("register_model", "newly_registered"):
        return f"This is version {version}, newly registered"
    return f"The same data, parameters and code as before: this is version {version}, nothing was registered"


def _left_out() -> str:
    """Return what the active stack has no component for, in words."""
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
