"""The files that a replay leaves behind: the picture, the decisions as JSON and CSV, and a page."""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from accidents.monitoring.measurements import ACTIONS, KINDS, Figure
from accidents.replay.records import Replay
from accidents.reports.csv_files import write_csv
from accidents.reports.figures import png
from accidents.reports.replay_picture import replay_picture

MOST = 10  # features in the table of those that moved


def write_replay(folder: Path, replay: Replay) -> None:
    """Write replay.json, replay.csv, replay.png and report.html into an existing folder."""
    drawn = png(replay_picture(replay))
    (folder / "replay.json").write_text(replay.model_dump_json(indent=1) + "\n", encoding="utf-8")
    write_csv(replay.table(), folder / "replay.csv")
    (folder / "replay.png").write_bytes(drawn)
    page = Environment(loader=PackageLoader("accidents.reports"), autoescape=True, undefined=StrictUndefined)
    html = page.get_template("replay.html").render(
        replay=replay,
        months=[record for record in replay.records if record.window == "month"],
        decided=_by_year(replay),
        actions=ACTIONS,
        moved=_moved(replay),
        years=[_of_year(replay, number) for number, _ in enumerate(replay.trainings)],
        picture=base64.b64encode(drawn).decode(),
    )
    (folder / "report.html").write_text(html, encoding="utf-8")


def _by_year(replay: Replay) -> list[tuple[str, dict[str, int], str]]:
    """Of each year how many months were kept, alerted or retrained, and what was found in how many."""
    years: dict[str, list[Any]] = {}
    for record in replay.records:
        if record.window == "month":
            years.setdefault(record.month[:4], []).append(record)
    firing = {
        year: Counter(kind for record in records for kind in record.firing) for year, records in years.items()
    }
    return [
        (
            year,
            Counter(record.action for record in records),
            ", ".join(
                f"{kind.replace('_', ' ')} {firing[year][kind]}" for kind in KINDS if firing[year][kind]
            ),
        )
        for year, records in years.items()
    ]


def _moved(replay: Replay) -> list[tuple[str, int, int]]:
    """Features by the months in which their values drifted, or were known less or more often."""
    months = [record for record in replay.records if record.window == "month"]
    drifted = Counter(name for record in months for name in record.drifted)
    missing = Counter(name for record in months for name in record.missing)
    names = sorted(drifted | missing, key=lambda name: (-drifted[name] - missing[name], name))
    return [(name, drifted[name], missing[name]) for name in names[:MOST]]


def _of_year(replay: Replay, number: int) -> dict[str, Any]:
    """Return a training, with how the champion before it had done on the year whose labels had come in."""
    training = replay.trainings[number]
    looked_at = [
        record for record in replay.records if record.window == "year" and record.month == training.month
    ]
    record = looked_at[-1] if looked_at else None
    return {
        "training": training,
        "before": _estimate(record.roc_auc) if record else "–",
        "gap": _estimate(record.calibration_gap) if record else "–",
        "found": ", ".join(record.firing).replace("_", " ") if record else "–",
        "promised": _estimate(training.roc_auc),
    }


def _estimate(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "–"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
