"""All pages that are made from the sources while the site is built."""

from __future__ import annotations

import json
from pathlib import Path

from documentation.command_line import command_line_page
from documentation.configuration import configuration_page
from documentation.decisions import decisions_page
from documentation.http_api import http_api_page, openapi_document
from documentation.metrics_and_alerts import metrics_and_alerts_page
from documentation.python_api import python_api_pages

DECISIONS = "decisions/index.md"


def generated_pages(root: Path) -> dict[str, str]:
    """Return what is in each, by its address in the site."""
    document = openapi_document()
    return {
        DECISIONS: decisions_page(root / "docs" / "decisions"),
        "reference/command_line.md": command_line_page(),
        "reference/configuration.md": configuration_page(),
        "reference/http_api.md": http_api_page(document),
        "reference/openapi.json": json.dumps(document, indent=1),
        "reference/metrics_and_alerts.md": metrics_and_alerts_page(),
        **python_api_pages(),
    }
