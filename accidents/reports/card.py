"""The model card: what a model is, what it may be used for, how good it is and where it came from.

One Markdown template makes both forms; the HTML page carries its pictures inside and needs no other file.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from accidents.evaluation.metrics import READABLE
from accidents.evaluation.results import Results
from accidents.features import features_of
from accidents.files import write_whole

ALT = {
    "roc_and_pr": "ROC and precision-recall curves of the model and the baselines",
    "calibration": "Observed share of severe accidents against the predicted probability",
    "lift": "Share of severe accidents reached, and lift, by share of accidents alerted",
    "map": "Map of predicted and actual severity",
    "slices": "ROC-AUC and recall at budget with intervals for parts of the test set",
    "importance": "Features by mean absolute contribution",
    "shap_summary": "Contribution of each feature to single accidents",
}
_PROVENANCE = ("data_version", "code_version", "source", "learnt_from", "params")


def model_card(
    facts: Mapping[str, Any],
    results: Results,
    decision: Mapping[str, Any] | None = None,
    provenance: Mapping[str, str] | None = None,
) -> str:
    """Return the card in Markdown.

    Parameters
    ----------
    facts : the bundle's facts; needs name, stage, budget, threshold, synthetic, years and split (with its
        description).
    results : what was measured on the test part.
    decision : `Judgement.to_dict()`, once there is one.
    provenance : more rows for where the model came from: the git commit, the run, the version.
    """
    return _markdown(facts, results, decision, provenance, pictures=())


def model_card_html(
    facts: Mapping[str, Any],
    results: Results,
    decision: Mapping[str, Any] | None = None,
    provenance: Mapping[str, str] | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> str:
    """Return the card as one HTML page; `pictures` are PNGs by their name in `ALT`, others are left out."""
    shown = {name: content for name, content in (pictures or {}).items() if name in ALT}
    markdown = _markdown(facts, results, decision, provenance, tuple(shown))
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    for name, content in shown.items():
        body = body.replace(f'src="picture:{name}"', f'src="data:image/png;base64,{_base64(content)}"')
    page = Environment(loader=PackageLoader("accidents.reports"), autoescape=True, undefined=StrictUndefined)
    return page.get_template("page.html").render(title=f"Model card: {facts['name']}", body=Markup(body))


def write_card(
    folder: Path,
    facts: Mapping[str, Any],
    results: Results,
    decision: Mapping[str, Any] | None = None,
    provenance: Mapping[str, str] | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> None:
    """Write model_card.md and model_card.html into `folder`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    forms = {
        "model_card.md": model_card(facts, results, decision, provenance),
        "model_card.html": model_card_html(facts, results, decision, provenance, pictures),
    }
    for name, text in forms.items():
        write_whole(folder / name, text)


def _markdown(
    facts: Mapping[str, Any],
    results: Results,
    decision: Mapping[str, Any] | None,
    provenance: Mapping[str, str] | None,
    pictures: tuple[str, ...],
) -> str:
    # Markdown, not HTML: the page's renderer escapes HTML, so escaping here would show twice.
    templates = Environment(
        loader=PackageLoader("accidents.reports"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(cell=_cell, plain=_plain, thousands="{:,}".format, percent="{:.0%}".format)
    text = templates.get_template("model_card.md").render(
        facts=facts,
        results=results,
        decision=decision,
        provenance={**_known(facts), **(provenance or {})},
        metrics=READABLE,
        features=features_of(str(facts["stage"])),
        pictures=pictures,
        alt=ALT,
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _known(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts that tell where the model came from, as text."""
    rows = {key: facts[key] for key in _PROVENANCE if key in facts}
    if months := rows.get("learnt_from"):
        rows["learnt_from"] = f"{months[0]} to {months[-1]}"
    if params := rows.pop("params", None):
        rows["params"] = ", ".join(f"{key}: {value}" for key, value in _flat(params))
    return {key: str(value) for key, value in rows.items()}


def _flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Flatten {"a": {"b": 1}} to [("a.b", 1)]."""
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        inner = isinstance(value, Mapping) and value
        flat += _flat(value, f"{above}{key}.") if inner else [(f"{above}{key}", value)]
    return flat


def _cell(text: object) -> str:
    """Text that stays in its table cell."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def _plain(name: str) -> str:
    return str(name).replace("_", " ")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
