"""The rules and dashboards as objects of the Prometheus operator and of Grafana's sidecar.

`python -m observability.kubernetes` writes kubernetes/components/prometheus-operator/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from observability.addresses import HERE, RULES
from observability.dashboards import dashboards

FOLDER = HERE.parent / "kubernetes" / "components" / "prometheus-operator"
_HEAD = "# Written by `python -m observability.kubernetes` from observability/: change it there.\n"


def objects() -> dict[str, str]:
    """Return the content of each file, by its name."""
    rules = [_rule(file) for file in sorted(RULES.glob("*.yml"))]
    boards = [_dashboard(name, content) for name, content in dashboards().items()]
    return {"rules.yaml": _text(rules), "dashboards.yaml": _text(boards)}


def main() -> None:
    """Write them."""
    for name, content in objects().items():
        (FOLDER / name).write_text(content, encoding="utf-8")


def _rule(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"accidents-{file.stem}"},
        "spec": content,
    }


def _dashboard(name: str, content: str) -> dict[str, Any]:
    board = name.removesuffix(".json")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"accidents-dashboard-{board}", "labels": {"grafana_dashboard": "1"}},
        "data": {name: content},
    }


def _text(documents: list[dict[str, Any]]) -> str:
    return _HEAD + yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    main()
