"""Grafana's dashboards. `python -m observability.dashboards` writes grafana/dashboards/*.json."""

from __future__ import annotations

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from observability import loop_dashboard, model_dashboard, service_dashboard
from observability.addresses import HERE
from observability.panels import dashboard

FOLDER = HERE / "grafana" / "dashboards"


def dashboards() -> dict[str, str]:
    """Return the content of each file, by its name."""
    made = {
        "service": dashboard(
            "accidents-service", "Accidents: service", service_dashboard.PARTS, service_dashboard.VARIABLES
        ),
        "model": dashboard(
            "accidents-model", "Accidents: model", model_dashboard.PARTS, model_dashboard.VARIABLES
        ),
        "loop": dashboard("accidents-loop", "Accidents: loop", loop_dashboard.PARTS),
    }
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {f"{name}.json": encoder.encode(content) + "\n" for name, content in made.items()}


def main() -> None:
    """Write them."""
    for name, content in dashboards().items():
        (FOLDER / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
