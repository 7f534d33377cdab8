"""Evidently's table of drift, a row and two charts a column, and nothing else: importing this takes seconds.

Evidently's own `DataDriftPreset` tests every column three times and draws it twice, and shows it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evidently import Dataset, Report
from evidently.core.container import MetricContainer
from evidently.legacy.metrics.data_drift.data_drift_table import DataDriftTable

from stacks.components.evidently.drift_test_choice import DriftTest


class DriftTable(MetricContainer):  # type: ignore[misc]  # Evidently ships no types
    """The widget of Evidently's drift table as all that a report shows."""

    columns: list[str]
    methods: dict[str, str]
    thresholds: dict[str, float]

    def generate_metrics(self, context: Any) -> Sequence[Any]:
        """None: the table tests the columns itself."""
        return []

    def render(self, context: Any, child_widgets: object = None) -> Any:
        """Return the table's widget."""
        return self.tested(context)[1]

    def tested(self, context: Any) -> Any:
        """What the table found and its widget; made once for a context."""
        table = DataDriftTable(
            columns=self.columns,
            per_column_stattest=self.methods,
            per_column_stattest_threshold=self.thresholds,
        )
        return context.get_legacy_metric(table, None, None)


def drift_charts(
    reference: Dataset, current: Dataset, tests: Mapping[str, DriftTest]
) -> tuple[dict[str, float], str]:
    """Return the statistic of each column that has a test, and Evidently's page of them."""
    table = DriftTable(
        columns=list(tests),
        methods={name: test.method for name, test in tests.items()},
        thresholds={name: test.threshold for name, test in tests.items()},
    )
    run = Report([table]).run(current, reference)
    tested = table.tested(run.context)[0].drift_by_columns
    statistics = {name: float(tested[name].drift_score) for name in tests}
    return statistics, str(run.get_html_str(as_iframe=False))
