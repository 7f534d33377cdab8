"""A version on trial against the champion, as a page and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from accidents.rollout.trial_comparison import TrialComparison


def write_trial(
    folder: Path, facts: Mapping[str, Any], compared: TrialComparison | None, notes: Sequence[str] = ()
) -> None:
    """Write trial_ROLE.html and trial_ROLE.json into an existing folder.

    Parameters
    ----------
    facts : name, role, share (percent), version, and the champion's.
    compared : None where it has scored nothing yet.
    notes : what is to be said then, too: of a comparison it has its own.
    """
    name = f"trial_{facts['role']}"
    content = {**facts, "comparison": None if compared is None else compared.to_dict()}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    page = Environment(loader=PackageLoader("accidents.reports"), autoescape=True, undefined=StrictUndefined)
    html = page.get_template("trial.html").render(facts=facts, found=compared, notes=notes)
    (folder / f"{name}.html").write_text(html, encoding="utf-8")
