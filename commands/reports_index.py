"""reports/index.html, as a run leaves it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from commands.project import ROOT

REPORTS = ROOT / "reports"


def renew_index(part: Path, stack: str, commit: str) -> None:
    """Have it lead to what a run has just left in a folder, with when, where and of which commit that was."""
    from accidents.reports.index import write_index

    if not part.is_relative_to(REPORTS):
        return write_index(REPORTS)
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return write_index(REPORTS, part, {"When": when, "Stack": stack, "Commit": commit})
