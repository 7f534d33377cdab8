"""What the dashboards are made of: panels said in a line, and how they become Grafana's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
Kind = Literal["lines", "number", "bars", "states"]
_WIDTH = {"lines": 12, "number": 4, "bars": 12, "states": 24}
_HEIGHT = {"lines": 8, "number": 4, "bars": 10, "states": 8}
_BUILDERS: dict[str, Any] = {
    "lines": timeseries.Panel, "number": stat.Panel, "bars": bargauge.Panel, "states": statetimeline.Panel
}  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """A panel: what it shows in Grafana's `unit`, and queries with the legend of their series."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: Kind = "lines"
    about: str = ""


@dataclass(frozen=True)
class Part:
    """A row of a dashboard."""

    title: str
    panels: Sequence[Panel]


def dashboard(uid: str, title: str, parts: Sequence[Part], variables: Sequence[tuple[str, str]] = ()) -> Any:
    """Return a dashboard. `variables`: a name and the metric whose label of that name gives its values."""
    built = (
        Dashboard(title)
        .uid(uid)
        .tags(["accidents"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone(common.TimeZoneBrowser)
        .readonly()
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for name, metric in variables:
        built = built.with_variable(_variable(name, metric))
    number = 0
    for part in parts:
        number += 1
        built = built.with_row(Row(part.title).id(number))
        for panel in part.panels:
            number += 1
            built = built.with_panel(_built(panel).id(number))
    return built.build()


def _variable(name: str, metric: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(f"label_values({metric}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".*")
        .multi(True)
    )


def _built(panel: Panel) -> Any:
    built = (
        _BUILDERS[panel.kind]()
        .title(panel.title)
        .description(panel.about)
        .unit(panel.unit)
        .datasource(SOURCE)
        .span(_WIDTH[panel.kind])
        .height(_HEIGHT[panel.kind])
    )
    if panel.kind == "lines":
        shown = common.LegendDisplayMode.LIST
        built = built.legend(VizLegendOptions().display_mode(shown).show_legend(True)).fill_opacity(5)
    if panel.kind in ("number", "bars"):
        built = built.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    if panel.kind == "bars":
        built = built.orientation(common.VizOrientation.HORIZONTAL)
    for letter, (expression, legend) in zip("ABCDEFGH", panel.queries, strict=False):
        query = Dataquery().ref_id(letter).expr(expression).legend_format(legend).datasource(SOURCE)
        built = built.with_target(query.instant() if panel.kind in ("number", "bars") else query.range())
    return built
