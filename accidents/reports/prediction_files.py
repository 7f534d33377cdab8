"""The files that batch scoring leaves behind: predictions, rows set aside, drift, figures and a report."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from accidents.bundle import Bundle
from accidents.evaluation.metrics import READABLE, Alerts, Evaluation, evaluate
from accidents.reports.csv_files import write_csv
from accidents.reports.figures import png
from accidents.reports.maps import predicted_map
from accidents.reports.quality import write_quality
from accidents.scoring.batch import Intake
from accidents.scoring.score import probabilities
from accidents.vocabulary.codes import column

Drift = Mapping[str, Any]
UNCHECKED = "not checked"
# All that an output folder may hold, drift's pages included: a folder with anything else in it is no output.
FILES = frozenset({
    "predictions.parquet", "predictions.csv", "set_aside.csv", "summary.json", "report.html", "map.png",
    "quality_report.html", "quality_report.csv", "drift.html", "drift.json",
})  # fmt: skip
_OUTCOME = {
    **{name: READABLE[name] for name in ("roc_auc", "pr_auc", "brier", "ece")},
    "alerted_share": "share of accidents alerted",
    "recall_at_budget": "share of the severe ones that were alerted",
    "precision_at_budget": "share of the alerts that were severe",
}


def summary(
    intake: Intake, predictions: pd.DataFrame, severe: npt.NDArray[np.float32], bundle: Bundle, drift: Drift,
    version: Mapping[str, Any], n_bootstrap: int,
) -> dict[str, Any]:  # fmt: skip
    """Every figure of the report, JSON-ready.

    Parameters
    ----------
    predictions : as `accidents.scoring.score.score` gives them.
    severe : the labels of the same accidents, NaN where not known, float32 [n].
    drift : at least `verdict`; the rest of `DriftResult.to_dict()` if drift was checked.
    version : `name` and `version` of the registered model.
    """
    judged = _judged(predictions, severe, bundle, n_bootstrap)
    labelled = predictions.assign(severe=severe)
    synthetic_model = bool(bundle.facts.get("synthetic"))
    aside = intake.set_aside["reason"].str.replace(r" \(.*", "", regex=True)
    return {
        **intake.facts,
        "warnings": [*intake.facts["warnings"], *_learnt_from_these(intake, bundle)],
        "synthetic": synthetic_model or bool(intake.facts["synthetic"]),
        "synthetic_model": synthetic_model,
        "model_name": version["name"],
        "model_version": version["version"],
        "stage": bundle.stage,
        "threshold": bundle.threshold,
        "rows": len(intake),
        "scored": len(predictions),
        "set_aside": len(intake.set_aside),
        "reasons_aside": {str(reason): int(count) for reason, count in aside.value_counts().items()},
        "noted": int((predictions["notes"] != "").sum()),
        "alerts": int(predictions["alert"].sum()),
        "mean_probability": float(predictions["probability"].mean()) if len(predictions) else None,
        "reference_probability": _reference_probability(bundle),
        "bands": _by_band(labelled, bundle.bands),
        "departments": _by_department(labelled, intake.tables.accidents["department"]),
        "drift": {**drift, "words": drift_in_words(drift)},
        "outcome": judged.to_dict() if judged else None,
    }


def write_report(
    folder: Path, figures: Mapping[str, Any], intake: Intake, predictions: pd.DataFrame, raw_csv: bool = False
) -> None:
    """Write all but the pages of drift into an existing folder.

    Parameters
    ----------
    raw_csv : cells of the CSV files stand as they are, also where a spreadsheet takes them for formulas.
    """
    predictions.to_parquet(folder / "predictions.parquet", index=False)
    write_csv(predictions, folder / "predictions.csv", raw_csv)
    write_csv(intake.set_aside, folder / "set_aside.csv", raw_csv)
    if len(intake.quality):
        write_quality(folder, intake.quality, len(intake))
    (folder / "summary.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    drawn = _map(intake, predictions)
    if drawn:
        (folder / "map.png").write_bytes(drawn)
    page = Environment(loader=PackageLoader("accidents.reports"), autoescape=True, undefined=StrictUndefined)
    html = page.get_template("predictions.html").render(
        summary=figures, outcome=_outcome_rows(figures), map=base64.b64encode(drawn).decode()
    )
    (folder / "report.html").write_text(html, encoding="utf-8")


def _reference_probability(bundle: Bundle) -> float:
    """Mean P(severe) of the training rows that drift is measured against."""
    reference = pd.read_parquet(bundle.folder / "reference.parquet", columns=bundle.features)
    return float(probabilities(bundle.model, reference.to_numpy(dtype=np.float32)).mean())


def _learnt_from_these(intake: Intake, bundle: Bundle) -> list[str]:
    """Warn of a raw year that is one that the model learnt from: it then looks better than it is."""
    accidents = intake.tables.accidents
    learnt = set(bundle.facts.get("learnt_from", ()))
    months = {f"{y:04}-{m:02}" for y, m in accidents[["year", "month"]].dropna().drop_duplicates().to_numpy()}
    if intake.facts["source"] == "file" or not months & learnt:
        return []
    return [
        f"The model learnt from {len(months & learnt)} of these {len(months)} months: on accidents that it "
        "knows it looks better than it is."
    ]


def drift_in_words(drift: Drift) -> str:
    """One or two sentences for people."""
    if "compared" not in drift:
        return str(drift.get("why", ""))
    if not drift["compared"]:
        return "Too few rows to compare: nothing can be said."
    moved = ", ".join(drift["drifted_columns"]) or "none"
    return (
        f"{drift['share_drifted']:.0%} of {drift['compared']} features that can be compared differ from what "
        f"the model was trained on: {moved}. See drift.html."
    )


def _judged(
    predictions: pd.DataFrame, severe: npt.NDArray[np.float32], bundle: Bundle, n_bootstrap: int
) -> Evaluation | None:
    """How good the predictions were, where the labels are known and of both kinds."""
    known = ~np.isnan(severe)
    if len(np.unique(severe[known])) < 2:
        return None
    return evaluate(
        severe[known], predictions["probability"].to_numpy()[known], float(bundle.facts["budget"]),
        n_bootstrap, alerts=Alerts(bundle.threshold),
    )  # fmt: skip


def _outcome_rows(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    if figures["outcome"] is None:
        return []
    metrics = figures["outcome"]["metrics"]
    return [(label, _estimate(metrics[name])) for name, label in _OUTCOME.items()]


def _estimate(estimate: Mapping[str, float | None]) -> str:
    if estimate["value"] is None:
        return "–"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _by_band(labelled: pd.DataFrame, bands: Mapping[str, float]) -> list[dict[str, Any]]:
    of_band = {str(band): rows for band, rows in labelled.groupby("band")}
    empty = labelled.iloc[:0]
    return [
        {"band": band, "lower": lower, **_figures(of_band.get(band, empty))}
        for band, lower in sorted(bands.items(), key=lambda pair: pair[1])
    ]


def _by_department(labelled: pd.DataFrame, department: pd.Series) -> list[dict[str, Any]]:
    names = column("department").codes
    return [
        {
            "department": str(code),
            "name": names.get(str(code), ""),
            **_figures(rows),
            "mean_probability": float(rows["probability"].mean()),
        }
        for code, rows in labelled.groupby(department.rename("department"))
    ]


def _figures(rows: pd.DataFrame) -> dict[str, Any]:
    share = float(rows["severe"].mean())  # NaN where no label is known
    return {
        "accidents": len(rows),
        "alerts": int(rows["alert"].sum()),
        "severe_share": None if np.isnan(share) else share,
    }


def _map(intake: Intake, predictions: pd.DataFrame) -> bytes:
    """Return the map as PNG; nothing where no accident has coordinates."""
    accidents = intake.tables.accidents
    place = [accidents[name].to_numpy(dtype=float, na_value=np.nan) for name in ("latitude", "longitude")]
    if not np.isfinite(place[0]).any():
        return b""
    return png(predicted_map(place[0], place[1], predictions["probability"].to_numpy()))
