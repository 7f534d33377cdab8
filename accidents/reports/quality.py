"""The quality report as a page and as CSV: how often each rule changed or noted something, by year."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, select_autoescape

from accidents.data.quality import QualityReport
from accidents.reports.csv_files import write_csv

ORDER = ["warned", "dropped", "blanked", "repaired", "noted"]


def write_quality(folder: Path, quality: QualityReport, accidents: int) -> None:
    """Write quality_report.html and quality_report.csv into an existing folder."""
    # What was changed comes before what was only noted.
    findings = quality.to_frame().sort_values(
        "action", key=lambda actions: actions.map(ORDER.index), kind="stable"
    )
    write_csv(findings, folder / "quality_report.csv")
    page = Environment(loader=PackageLoader("accidents.reports"), autoescape=select_autoescape())
    html = page.get_template("quality.html").render(
        accidents=accidents, by_action=_by_action(findings), findings=findings.to_dict("records")
    )
    (folder / "quality_report.html").write_text(html, encoding="utf-8")


def _by_action(findings: pd.DataFrame) -> dict[str, int]:
    counts = findings.groupby("action", sort=False)["count"].sum()
    return {str(action): int(count) for action, count in counts.items()}
