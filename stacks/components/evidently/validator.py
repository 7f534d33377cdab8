"""The `evidently_modern` data validator: the quality of a dataset, and its drift against a reference."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import pandas as pd
from zenml.data_validators.base_data_validator import BaseDataValidator

from stacks.components.evidently.config import EvidentlyModernConfig
from stacks.components.evidently.declared_columns import Column, declare, join_rare, tidy
from stacks.components.evidently.drift_test_choice import DriftTest, choose_tests, register_chi2
from stacks.components.evidently.page import render
from stacks.components.evidently.validation_results import (
    ColumnDrift,
    ColumnProfile,
    DataProfile,
    DriftResult,
    Status,
)
from stacks.errors import StackError


class EvidentlyModernValidator(BaseDataValidator):
    """Evidently behind ZenML's interface, with what it leaves out: missing values and small samples.

    Columns are declared by the caller: `numerical_columns` and `categorical_columns` are features, a
    `target_columns` entry is a class, a `prediction_columns` entry a probability.
    """

    NAME: ClassVar[str] = "Evidently (current API)"

    @property
    def config(self) -> EvidentlyModernConfig:
        """Settings of the component."""
        return cast(EvidentlyModernConfig, self._config)

    def data_profiling(
        self,
        dataset: pd.DataFrame,
        comparison_dataset: pd.DataFrame | None = None,
        profile_list: Sequence[Any] | None = None,
        *,
        numerical_columns: Sequence[str] = (),
        categorical_columns: Sequence[str] = (),
        target_columns: Sequence[str] = (),
        prediction_columns: Sequence[str] = (),
        **unknown: Any,
    ) -> DataProfile:
        """Quality of `dataset`, one row an accident, column by column; Evidently's data summary as the page.

        Raises
        ------
        StackError
            No rows, a column that is not there or not of its kind, or an argument not taken.
        """
        _refuse(comparison_dataset=comparison_dataset, profile_list=profile_list, **unknown)
        columns = declare(numerical_columns, categorical_columns, target_columns, prediction_columns)
        data = tidy(dataset, columns, "profiled")
        known = [column for column in columns if data[column.name].notna().any()]
        (shown,) = join_rare([self._sample(data, known)], known, self.config.max_categories)
        profile = DataProfile(
            rows=len(data),
            duplicated_rows=int(data.duplicated().sum()),
            missing=float(data.isna().to_numpy().mean()),
            columns=tuple(_profile(data[column.name], column) for column in columns),
        )
        return profile.model_copy(update={"html": _profile_page(profile, _run_summary(shown, known))})

    def data_validation(
        self,
        dataset: pd.DataFrame,
        comparison_dataset: pd.DataFrame | None = None,
        check_list: Sequence[Any] | None = None,
        *,
        numerical_columns: Sequence[str] = (),
        categorical_columns: Sequence[str] = (),
        target_columns: Sequence[str] = (),
        prediction_columns: Sequence[str] = (),
        page: bool = True,
        **unknown: Any,
    ) -> DriftResult:
        """Drift of `dataset` (the year in question) against `comparison_dataset` (the reference).

        Mind the order: in ZenML's own `evidently` flavor the first one is the reference.
        Without a `page` Evidently's tests are called and its charts, nine tenths of the time, are not drawn.

        Raises
        ------
        StackError
            No reference, no rows, a column that is not there or not of its kind, or an argument
            that is not taken.
        """
        _refuse(check_list=check_list, **unknown)
        columns = declare(numerical_columns, categorical_columns, target_columns, prediction_columns)
        current = tidy(dataset, columns, "current")
        reference = tidy(comparison_dataset, columns, "reference")
        statuses = {column.name: self._status(reference, current, column) for column in columns}
        compared = [column for column in columns if statuses[column.name] == "compared"]
        sampled_reference, sampled_current = join_rare(
            [self._sample(reference, compared), self._sample(current, compared)],
            compared,
            self.config.max_categories,
        )
        tests = choose_tests(sampled_reference, sampled_current, compared, self.config)
        run = _run_drift if page else _run_tests
        statistics, html = run(sampled_reference, sampled_current, compared, tests)
        drifts = [self._column_drift(reference, current, column, statuses[column.name]) for column in columns]
        result = DriftResult(
            reference_rows=len(reference),
            current_rows=len(current),
            columns=tuple(_with_test(drift, tests, statistics) for drift in drifts),
            drift_share=self.config.drift_share,
        )
        return result.model_copy(update={"html": _drift_page(result, html)}) if page else result

    def _sample(self, data: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
        """At most `max_rows` rows; a column that is known in few rows has them all, for none may be drawn."""
        most, seed = self.config.max_rows, self.config.seed
        if len(data) <= most:
            return data
        sample = data.sample(most, random_state=seed, ignore_index=True)
        for name in (column.name for column in columns):
            if sample[name].count() < self.config.min_values:
                known = data[name].dropna()
                drawn = known.sample(min(most, len(known)), random_state=seed, ignore_index=True)
                sample[name] = drawn.reindex(sample.index)
        return sample

    def _status(self, reference: pd.DataFrame, current: pd.DataFrame, column: Column) -> Status:
        known = int(reference[column.name].count()), int(current[column.name].count())
        if known == (0, 0):
            return "not comparable: missing in both"
        if known[0] == 0:
            return "not comparable: missing in reference"
        if known[1] == 0 and len(current) >= self.config.min_values:
            return "missing in current"
        return "compared" if min(known) >= self.config.min_values else "not comparable: too few values"

    def _column_drift(
        self, reference: pd.DataFrame, current: pd.DataFrame, column: Column, status: Status
    ) -> ColumnDrift:
        """All but the test: the shares that are missing, of all rows rather than of the sample."""
        missing_reference = float(reference[column.name].isna().mean())
        missing_current = float(current[column.name].isna().mean())
        moved = abs(missing_current - missing_reference) >= self.config.missing_threshold
        return ColumnDrift(
            column=column.name,
            role=column.role,
            kind=column.kind,
            status=status,
            missing_reference=missing_reference,
            missing_current=missing_current,
            missing_drifted=moved and not status.startswith("not comparable"),
        )


def _with_test(
    drift: ColumnDrift, tests: Mapping[str, DriftTest], statistics: Mapping[str, float]
) -> ColumnDrift:
    if drift.column not in tests:
        return drift
    test, statistic = tests[drift.column], statistics[drift.column]
    changed = {
        "method": test.method,
        "threshold": test.threshold,
        "statistic": statistic,
        "value_drifted": test.alarms(statistic),
    }
    return drift.model_copy(update=changed)


def _profile(values: pd.Series, column: Column) -> ColumnProfile:
    """One column's profile, from all rows."""
    statistics: dict[str, Any] = {}
    if values.notna().any() and column.kind == "number":
        described = values.agg(["mean", "std", "min", "max"])
        statistics = dict(zip(("mean", "std", "minimum", "maximum"), map(float, described), strict=True))
        statistics["std"] = float(values.std(ddof=0))
    elif values.notna().any():
        statistics = {"most_common": str(values.value_counts().index[0])}
    return ColumnProfile(
        column=column.name,
        role=column.role,
        kind=column.kind,
        missing=float(values.isna().mean()),
        distinct=int(values.nunique()),
        **statistics,
    )


def _run_summary(data: pd.DataFrame, columns: Sequence[Column]) -> str:
    """Evidently's data summary page of the columns of which something is known; empty if there is none."""
    if not columns:
        return ""
    from evidently import Report
    from evidently.presets import DataSummaryPreset

    with _quiet():
        run = Report([DataSummaryPreset()]).run(_dataset(data, columns), None)
        return str(run.get_html_str(as_iframe=False))


def _run_drift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    columns: Sequence[Column],
    tests: Mapping[str, DriftTest],
) -> tuple[dict[str, float], str]:
    """Evidently's statistic of each column, and its page; nothing of both if there is no column."""
    if not columns:
        return {}, ""
    from stacks.components.evidently.charts import drift_charts

    register_chi2()
    with _quiet():
        return drift_charts(_dataset(reference, columns), _dataset(current, columns), tests)


def _run_tests(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    columns: Sequence[Column],
    tests: Mapping[str, DriftTest],
) -> tuple[dict[str, float], str]:
    """As `_run_drift`, without a page: the same test functions of Evidently on the same values."""
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    register_chi2()
    statistics = {}
    for column in columns:
        kind = ColumnType.Numerical if column.kind == "number" else ColumnType.Categorical
        before, now = reference[column.name].dropna(), current[column.name].dropna()
        test = tests[column.name]
        with _quiet():
            result = get_stattest(before, now, kind, test.method)(before, now, kind, test.threshold)
        statistics[column.name] = float(result.drift_score)
    return statistics, ""


def _profile_page(profile: DataProfile, evidently_html: str) -> str:
    paragraphs = [
        f"{profile.rows:,} rows, {profile.missing:.1%} of all values missing, {profile.duplicated_rows:,} "
        "rows that repeat another. Below: Evidently's summary, of a sample if there are many rows."
    ]
    header = ("Column", "Kind", "Missing", "Values", "Smallest", "Mean", "Largest", "Most common", "Remark")
    rows = [
        (
            column.column,
            column.kind,
            f"{column.missing:.1%}",
            f"{column.distinct:,}",
            *(_number(value) for value in (column.minimum, column.mean, column.maximum)),
            column.most_common or "",
            "no known value" if column.empty else "one value only" if column.constant else "",
        )
        for column in profile.columns
    ]
    return render(evidently_html, "Data quality", paragraphs, header, rows)


def _drift_page(result: DriftResult, evidently_html: str) -> str:
    drifted = sum(column.drifted for column in result.columns if column.role == "feature")
    paragraphs = [
        f"Verdict: {result.verdict}. {drifted} of {result.compared} comparable features have drifted "
        f"(alarm from a share of {result.drift_share:g}).",
        f"{result.current_rows:,} rows against a reference of {result.reference_rows:,}; "
        "Evidently's charts below are of a sample if there are many, and do not count missing values.",
    ]
    header = ("Column", "Role", "Drift", "Test", "Statistic", "Threshold", "Missing before", "Missing now")
    rows = [
        (
            column.column,
            column.role,
            "drifted" if column.drifted else "stable" if column.status == "compared" else column.status,
            column.method or "",
            _number(column.statistic),
            _number(column.threshold),
            f"{column.missing_reference:.1%}",
            f"{column.missing_current:.1%}",
        )
        for column in sorted(result.columns, key=lambda column: not column.drifted)
    ]
    return render(evidently_html, "Data drift", paragraphs, header, rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _dataset(data: pd.DataFrame, columns: Sequence[Column]) -> Any:
    from evidently import DataDefinition, Dataset

    definition = DataDefinition(
        numerical_columns=[column.name for column in columns if column.kind == "number"],
        categorical_columns=[column.name for column in columns if column.kind == "category"],
    )
    return Dataset.from_pandas(data[[column.name for column in columns]], data_definition=definition)


def _refuse(**arguments: Any) -> None:
    """ZenML's interface lets any keyword through; a misspelt one would otherwise be ignored."""
    given = sorted(name for name, value in arguments.items() if value is not None)
    if given:
        raise StackError(
            f"Data validation: {', '.join(given)} is not taken here. Declare columns with numerical_columns, "
            "categorical_columns, target_columns and prediction_columns."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Pass over warnings that nobody here can act on.

    Constant columns make NumPy warn of correlations that are not defined, ties make SciPy choose another way
    to the same p-value.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
