"""Which drift test a column gets, and the one that Evidently lacks.

Many values: a distance (Evidently's Wasserstein and Jensen-Shannon), because with 50,000 rows a p-value
calls the least difference significant. Few: a p-value, because a distance of two small samples is mostly
noise. They meet at some 5,000 values, where a p-value begins to see what the thresholds of the distances call
drift. From 3,000 values on, distances gave a false alarm in one window of ten. A quiet year differs from the
one before by up to 0.025 in either distance; what matters, by 0.065 or more (docs/drift.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stacks.components.evidently.config import EvidentlyModernConfig
from stacks.components.evidently.declared_columns import Column

CHI2 = "chi2_two_sample"
P_VALUE_METHODS = ("ks", CHI2)

# Below this, the chi-squared distribution is no good approximation (Cochran's rule).
_LEAST_EXPECTED = 5


@dataclass(frozen=True)
class DriftTest:
    """An Evidently drift method by name, and the threshold that makes it an alarm."""

    method: str
    threshold: float

    def alarms(self, statistic: float) -> bool:
        """Whether this statistic means drift: a small p-value, or a large distance."""
        by_p_value = self.method in P_VALUE_METHODS
        return statistic < self.threshold if by_p_value else statistic >= self.threshold


def choose_tests(
    reference: pd.DataFrame, current: pd.DataFrame, columns: list[Column], config: EvidentlyModernConfig
) -> dict[str, DriftTest]:
    """Return a test for each column, by its kind and by how many values are known of it."""
    small = {
        column.name
        for column in columns
        if min(_known(reference[column.name], current[column.name])) <= config.small_values
    }
    # Bonferroni: with 40 columns and 1 % each, an alarm in every third window would be the rule.
    p_value = config.significance / max(len(small), 1)
    tests = {}
    for column in columns:
        if column.name in small:
            tests[column.name] = DriftTest("ks" if column.kind == "number" else CHI2, p_value)
        elif column.kind == "number":
            tests[column.name] = DriftTest("wasserstein", config.number_threshold)
        else:
            by_chance = _by_chance(reference[column.name], current[column.name])
            limit = max(config.category_threshold, 2 * by_chance)
            tests[column.name] = DriftTest("jensenshannon", limit)
    return tests


def chi2_p_value(reference: pd.Series, current: pd.Series) -> float:
    """P-value of the chi-squared test that two samples of categories come from one distribution.

    Unlike Evidently's `chisquare` it allows for chance in the reference too, and a category that is not in
    it does not make the p-value 0. Categories with fewer than 5 expected in the smaller sample are joined.
    """
    from scipy import stats  # a second to import, and every command on the stack loads its validator

    counts = pd.concat([reference.value_counts(), current.value_counts()], axis=1).fillna(0).to_numpy()
    expected = counts.sum(axis=1) * counts.sum(axis=0).min() / counts.sum()
    rare = expected < _LEAST_EXPECTED
    table = counts[~rare]
    if rare.any():
        table = np.vstack([table, counts[rare].sum(axis=0)])
    return float(stats.chi2_contingency(table, correction=False).pvalue) if len(table) > 1 else 1.0


def register_chi2() -> None:
    """Make `chi2_p_value` known to Evidently by name; twice does no harm."""
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    test = StatTest(
        name=CHI2,
        display_name="chi-squared p-value, two samples",
        allowed_feature_types=[ColumnType.Categorical],
    )
    register_stattest(test, _evidently_chi2)


def _evidently_chi2(
    reference: pd.Series, current: pd.Series, feature_type: object, threshold: float
) -> tuple[float, bool]:
    p_value = chi2_p_value(reference, current)
    return p_value, p_value < threshold


def _known(reference: pd.Series, current: pd.Series) -> tuple[int, int]:
    return int(reference.count()), int(current.count())


def _by_chance(reference: pd.Series, current: pd.Series) -> float:
    """Jensen-Shannon distance to be expected of two samples of one distribution, to second order."""
    before, now = _known(reference, current)
    categories = pd.concat([reference, current]).nunique()
    return math.sqrt((categories - 1) / 8 * (1 / before + 1 / now))
