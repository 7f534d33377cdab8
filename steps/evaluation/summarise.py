"""What a person wants to know at the end: figures, decision and card, as files and as one short value."""

import json
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from zenml import step

from accidents.bundle import load_bundle
from accidents.evaluation.results import Results
from accidents.reports.card import write_card
from accidents.reports.curves import write_curves
from steps.folder import Folder


@step
def summarise(
    bundle: Folder,
    reports: Folder,
    test_predictions: pd.DataFrame,
    results: dict[str, Any],
    decision: dict[str, Any],
    model_version: str,
    champion_version: str,
    provenance: dict[str, str],
) -> tuple[Annotated[Folder, "summary"], Annotated[dict[str, Any], "figures"]]:
    """Write the model card with the decision, summary.json, metrics.json and the curves that DVC compares.

    The second output is what summary.json holds.
    """
    facts, judged = load_bundle(bundle.path).facts, Results.from_dict(results)
    folder = Folder.temporary("summary-")
    metrics = {name: estimate.value for name, estimate in judged.model.metrics.items()}
    _write(folder / "metrics.json", metrics)
    kept = ("name", "stage", "source", "synthetic", "years", "split", "data_version", "budget")
    summary = {
        **{key: facts[key] for key in kept},
        "evaluations": {
            "model": judged.model.to_dict(),
            **{name: baseline.to_dict() for name, baseline in judged.baselines.items()},
        },
        "slices": [part.to_dict() for part in judged.slices],
        "decision": decision,
        "model_version": model_version,
        "champion_version": champion_version,
    }
    _write(folder / "summary.json", summary)
    write_curves(folder / "plots", test_predictions["severe"], test_predictions["model"])
    pictures = {path.stem: path.read_bytes() for path in reports.path.glob("*.png")}
    write_card(folder.path, facts, judged, decision, {**provenance, "version": model_version}, pictures)
    return folder, summary


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
