"""Drift and quality, by Evidently itself, on frames whose drift is known."""

from __future__ import annotations

import base64
import gzip
import json
import re
from datetime import datetime
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from zenml.enums import StackComponentType

from stacks.components.evidently import drift_test_choice
from stacks.components.evidently.config import EvidentlyModernConfig
from stacks.components.evidently.declared_columns import Column, tidy
from stacks.components.evidently.drift_test_choice import chi2_p_value
from stacks.components.evidently.flavor import EvidentlyModernFlavor
from stacks.components.evidently.validation_results import DataProfile, DriftResult
from stacks.components.evidently.validator import EvidentlyModernValidator
from stacks.errors import StackError

NUMBERS = ["speed", "age", "width"]
CATEGORIES = ["light", "weather", "department"]
COLUMNS = {"numerical_columns": NUMBERS, "categorical_columns": CATEGORIES}


def validator(**settings: Any) -> EvidentlyModernValidator:
    """A component as ZenML makes it, without a store."""
    flavor = EvidentlyModernFlavor()
    made = flavor.implementation_class(
        name="test",
        id=uuid4(),
        config=flavor.config_class(**settings),
        flavor=flavor.name,
        type=StackComponentType.DATA_VALIDATOR,
        user=None,
        created=datetime.now(),
        updated=datetime.now(),
    )
    assert isinstance(made, EvidentlyModernValidator)
    return made


def accidents(rows: int, seed: int) -> pd.DataFrame:
    """Rows of one and the same distribution: codes as floats, some values missing, 100 départements."""
    random = np.random.default_rng(seed)
    shares = np.linspace(1, 20, 100)
    frame = pd.DataFrame(
        {
            "speed": random.choice([30.0, 50.0, 80.0, 90.0, 130.0], rows, p=[0.1, 0.5, 0.25, 0.1, 0.05]),
            "age": random.gamma(4, 10, rows),
            "width": random.normal(7, 2, rows),
            "light": random.integers(1, 6, rows).astype("float32"),
            "weather": random.choice(10, rows, p=[0.55] + [0.05] * 9).astype("float32"),
            "department": random.choice(100, rows, p=shares / shares.sum()).astype("float32"),
        }
    )
    return frame.mask(random.random(frame.shape) < 0.1)


def unpacked(page: str) -> str:
    """What the browser makes of a packed page."""
    packed = re.search(r'atob\("([^"]+)"\)', page)
    assert packed
    return gzip.decompress(base64.b64decode(packed[1])).decode()


@pytest.mark.parametrize("rows", [200, 1500, 12_000])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_drift_between_draws_of_one_distribution(rows: int, seed: int) -> None:
    result = validator().data_validation(accidents(rows, seed), accidents(12_000, seed + 100), **COLUMNS)
    assert result.verdict == "stable"
    assert result.drifted_columns == ()
    assert result.compared == 6


@pytest.mark.parametrize("rows", [200, 12_000])
def test_planted_drift_is_found_where_it_is(rows: int) -> None:
    current = accidents(rows, 1)
    current["age"] += 12
    current["light"] = current["light"].where(current["light"] > 2, 5)
    result = validator().data_validation(current, accidents(12_000, 2), **COLUMNS)
    assert result.drifted_columns == ("age", "light")
    assert result.share_drifted == pytest.approx(2 / 6)
    assert result.verdict == "drifted"
    method = {200: ("ks", "chi2_two_sample"), 12_000: ("wasserstein", "jensenshannon")}[rows]
    assert (result.column("age").method, result.column("light").method) == method


def test_drift_that_does_not_matter_is_no_drift_however_many_rows() -> None:
    reference, current = accidents(50_000, 1), accidents(50_000, 2)
    current["age"] += 0.5  # 0.02 standard deviations: significant at any level, and of no consequence
    result = validator().data_validation(current, reference, **COLUMNS)
    assert result.drifted_columns == ()


@pytest.mark.parametrize("rows", [300, 5000])
def test_unseen_category(rows: int) -> None:
    current = accidents(rows, 1)
    current.loc[: rows // 3, "weather"] = 99.0
    result = validator().data_validation(current, accidents(5000, 2), **COLUMNS)
    assert result.drifted_columns == ("weather",)


def test_one_unseen_row_is_no_drift() -> None:
    current = accidents(300, 1)
    current.loc[0, "weather"] = 99.0
    assert validator().data_validation(current, accidents(5000, 2), **COLUMNS).drifted_columns == ()


@pytest.mark.parametrize("kind", ["speed", "light"])
def test_all_missing_columns_are_reported_not_compared(kind: str) -> None:
    whole, void = accidents(2000, 1), accidents(2000, 2)
    void[kind] = None
    in_reference = validator().data_validation(whole, void, **COLUMNS)
    assert in_reference.not_comparable == {kind: "not comparable: missing in reference"}
    assert (in_reference.verdict, in_reference.compared) == ("stable", 5)
    assert "not comparable: missing in reference" in in_reference.html
    in_current = validator().data_validation(void, whole, **COLUMNS)
    assert in_current.column(kind).status == "missing in current"
    assert in_current.drifted_columns == (kind,), "a feature the model relies on is gone"
    in_both = validator().data_validation(void, void, **COLUMNS)
    assert in_both.not_comparable == {kind: "not comparable: missing in both"}


def test_more_missing_values_are_drift_of_their_own() -> None:
    current = accidents(3000, 1)
    current.loc[:1000, "age"] = np.nan
    drift = validator().data_validation(current, accidents(3000, 2), **COLUMNS).column("age")
    assert (drift.missing_drifted, drift.value_drifted, drift.drifted) == (True, False, True)
    assert drift.missing_current == pytest.approx(0.4, abs=0.02)


def test_constant_columns() -> None:
    same, other = accidents(2000, 1), accidents(2000, 2)
    same["width"], same["light"] = 1.0, 1.0
    other["width"], other["light"] = 1.0, 1.0
    assert validator().data_validation(same, other, **COLUMNS).drifted_columns == ()
    other["width"], other["light"] = 2.0, 2.0
    assert validator().data_validation(same, other, **COLUMNS).drifted_columns == ("width", "light")


@pytest.mark.parametrize("page", [True, False])
def test_a_column_known_in_few_of_many_rows_is_compared_by_what_is_known(page: bool) -> None:
    """The sample of the rows holds none of them."""
    rare, common = accidents(20_000, 1), accidents(20_000, 2)
    names, small = ["width", "light"], validator(max_rows=500)
    others = rare[names].drop(rare.sample(500, random_state=small.config.seed).index)
    rare[names] = others.where(others.notna().cumsum() <= 30)
    result = small.data_validation(rare, common, page=page, **COLUMNS)
    assert {result.column(name).status for name in names} == {"compared"}
    assert {result.column(name).method for name in names} == {"ks", "chi2_two_sample"}
    assert result.drifted_columns == ("width", "light"), "both are missing where they were known"
    assert not any(result.column(name).value_drifted for name in names)
    assert small.data_validation(rare, rare, page=page, **COLUMNS).drifted_columns == ()
    few = rare.assign(width=rare["width"].where(rare["width"].notna().cumsum() <= 3))
    assert small.data_profiling(few, **COLUMNS).html


def test_window_of_one_row_cannot_be_compared() -> None:
    result = validator().data_validation(accidents(1, 1), accidents(2000, 2), **COLUMNS)
    assert (result.verdict, result.compared, result.share_drifted) == ("not comparable", 0, 0)
    assert len(result.not_comparable) == 6
    assert "too few values" in result.html


def test_target_and_prediction_stand_apart_from_the_features() -> None:
    random = np.random.default_rng(0)
    current, reference = accidents(3000, 1), accidents(3000, 2)
    for frame, rate in ((current, 0.8), (reference, 0.3)):
        frame["severe"] = (random.random(3000) < rate).astype("float32")
        frame["p"] = random.beta(10 * rate, 10 * (1 - rate), 3000)
    roles = {"target_columns": ["severe"], "prediction_columns": ["p"]}
    result = validator().data_validation(current, reference, **COLUMNS, **roles)
    assert result.drifted_columns == ("severe", "p")
    assert (result.compared, result.share_drifted, result.verdict) == (6, 0, "stable")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": accidents(0, 1)}, "current data has no rows"),
        ({"comparison_dataset": accidents(0, 1)}, "reference data has no rows"),
        ({"comparison_dataset": None}, "must be a pandas DataFrame, not NoneType"),
        ({"numerical_columns": ["spead"]}, "no column 'spead'. Did you mean 'speed'"),
        ({"numerical_columns": ["speed", "light"]}, "more than once: light"),
        ({"numerical_columns": [], "categorical_columns": []}, "no column is declared"),
        ({"numerical_colums": ["speed"]}, "numerical_colums is not taken here"),
    ],
)
def test_what_cannot_be_asked_is_refused(change: dict[str, Any], words: str) -> None:
    asked = {"dataset": accidents(50, 1), "comparison_dataset": accidents(50, 2)} | COLUMNS | change
    with pytest.raises(StackError, match=re.escape(words)):
        validator().data_validation(**asked)


def test_text_declared_a_number_is_named() -> None:
    frame = accidents(50, 1).assign(speed="fast")
    with pytest.raises(StackError, match="'speed' of the current data is declared a number"):
        validator().data_validation(frame, accidents(50, 2), **COLUMNS)


def test_nullable_codes_text_and_infinities_are_taken() -> None:
    current, reference = accidents(2000, 1), accidents(2000, 2)
    for frame in (current, reference):
        frame["light"] = frame["light"].astype("Int8")
        frame["speed"] = frame["speed"].astype("Int16")
        frame["department"] = "d" + frame["department"].astype("string")
        frame["weather"] = frame["weather"].astype("category")
    current.loc[:5, "age"] = np.inf
    result = validator().data_validation(current, reference, **COLUMNS)
    assert result.drifted_columns == ()
    assert result.column("age").missing_current > reference["age"].isna().mean() - 0.05


@pytest.mark.parametrize(
    "codes",
    [
        pd.Series([7.0, np.nan, 1.5, 7.0], dtype="float32"),
        pd.Series([7, None, 1.5, 7], dtype=object),
        pd.Series(["7", None, "1.5", "7"], dtype="string"),
        pd.Series(["7", None, "1.5", "7"], dtype="category"),
        pd.Series([7.0, np.nan, 1.5, 7.0], index=[9, 9, 4, 1]),
    ],
    ids=["float32", "object", "string", "category", "index"],
)
def test_codes_become_labels_and_missing_ones_stay_missing(codes: pd.Series) -> None:
    made = tidy(pd.DataFrame({"light": codes}), [Column("light", "category")], "current")["light"]
    assert made.dropna().tolist() == ["7", "1.5", "7"]
    assert made.isna().tolist() == [False, True, False, False]
    assert made.index.equals(codes.index)


def test_summary_is_json_and_frozen() -> None:
    result = validator().data_validation(accidents(200, 1), accidents(300, 2), **COLUMNS)
    summary = json.loads(json.dumps(result.to_dict()))
    assert summary["verdict"] == "stable"
    assert "html" not in summary
    age = next(column for column in summary["columns"] if column["column"] == "age")
    assert age["method"] == "ks"
    assert 0 < age["threshold"] < 0.05, "shared among the columns"
    assert DriftResult.model_validate_json(result.model_dump_json()).columns == result.columns
    with pytest.raises(ValueError, match="frozen"):
        result.current_rows = 0


def test_result_depends_on_the_data_alone() -> None:
    current, reference = accidents(900, 1), accidents(900, 2)
    settings = {"max_rows": 500}
    first = validator(**settings).data_validation(current, reference, **COLUMNS)
    np.random.seed(5)
    assert validator(**settings).data_validation(current, reference, **COLUMNS).to_dict() == first.to_dict()
    assert (first.current_rows, first.reference_rows) == (900, 900)


@pytest.mark.parametrize("rows", [900, 9_000])
def test_without_a_page_the_figures_are_the_same(rows: int) -> None:
    current, reference = accidents(rows, 1), accidents(8_000, 2)
    current["age"] += 1
    whole = validator().data_validation(current, reference, **COLUMNS)
    bare = validator().data_validation(current, reference, **COLUMNS, page=False)
    assert bare.html == ""
    assert whole.html != ""
    assert bare.to_dict() == whole.to_dict()


def test_a_page_tests_every_column_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = []
    test = drift_test_choice.chi2_p_value
    monkeypatch.setattr(drift_test_choice, "chi2_p_value", lambda *two: tested.append(two) or test(*two))
    validator().data_validation(accidents(400, 1), accidents(400, 2), **COLUMNS)
    assert len(tested) == len(CATEGORIES)


def test_a_distance_must_be_twice_what_chance_gives() -> None:
    settings = {"small_values": 100, "category_threshold": 0.05}
    result = validator(**settings).data_validation(
        accidents(600, 1), accidents(600, 2), **COLUMNS, page=False
    )
    assert result.column("department").threshold > 0.2, "a hundred of them, six rows each"
    assert not result.column("department").drifted
    assert result.column("light").threshold == pytest.approx(0.082, abs=0.005)


def test_page_is_evidentlys_and_small() -> None:
    result = validator().data_validation(accidents(2000, 1), accidents(2000, 2), **COLUMNS)
    static = result.html.partition("<script>")[0]  # all that ZenML's dashboard shows
    assert "Verdict: stable" in static
    assert all(f">{column}<" in static for column in NUMBERS + CATEGORIES)
    assert len(result.html) < 2_000_000
    page = unpacked(result.html)
    assert "Verdict: stable" in page
    assert "drawDashboard" in page
    assert all(f'"{column}"' in page for column in NUMBERS + CATEGORIES)


def test_column_names_are_escaped_in_the_page() -> None:
    name = "<script>alert(1)</script>"
    frame = accidents(100, 1).assign(**{name: np.nan})
    columns = {"numerical_columns": ["speed", name]}
    assert name not in validator().data_validation(frame, frame, **columns).html


def test_profile() -> None:
    frame = accidents(2000, 1)
    frame["width"], frame["weather"], frame["light"] = 2.5, None, 3.0
    frame["age"] = np.arange(2000.0)
    frame = pd.concat([frame, frame.iloc[:10]])
    profile = validator(max_rows=500).data_profiling(frame, **COLUMNS)
    assert (profile.rows, profile.duplicated_rows) == (2010, 10)
    assert profile.empty_columns == ("weather",)
    assert profile.constant_columns == ("width", "light")
    assert profile.missing == pytest.approx((2 * 0.1 + 1) / 6, abs=0.02)
    assert profile.column("age").mean == pytest.approx(frame["age"].mean())
    assert profile.column("light").most_common == "3"
    assert "no known value" in profile.html
    assert len(profile.html) < 2_000_000
    assert json.loads(json.dumps(profile.to_dict()))["empty_columns"] == ["weather"]
    assert DataProfile.model_validate_json(profile.model_dump_json()).columns == profile.columns


def test_profile_of_nothing_known_and_of_one_row() -> None:
    void = pd.DataFrame({"speed": [np.nan] * 3, "light": [None] * 3})
    columns = {"numerical_columns": ["speed"], "categorical_columns": ["light"]}
    assert validator().data_profiling(void, **columns).empty_columns == ("speed", "light")
    one = validator().data_profiling(pd.DataFrame({"speed": [50], "light": [1]}), **columns)
    assert one.constant_columns == ("speed", "light")
    assert one.column("speed").std == 0


def test_many_categories_are_joined() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"commune": random.integers(0, 3000, 5000).astype(str)})
    settings = {"max_categories": 20}
    result = validator(**settings).data_validation(frame, frame, categorical_columns=["commune"])
    assert result.drifted_columns == ()
    assert (
        validator(**settings)
        .data_profiling(frame, categorical_columns=["commune"])
        .column("commune")
        .distinct
        > 2000
    )


@pytest.mark.parametrize(
    "settings",
    [{"drift_share": 0}, {"drift_share": 1.5}, {"max_rows": 1}, {"significance": 0.9}, {"psi": 0.1}],
)
def test_settings_are_strict(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        EvidentlyModernConfig(**settings)


def test_p_value_of_two_samples_of_one_distribution_is_uniform() -> None:
    random = np.random.default_rng(0)
    draws = [pd.Series(random.integers(0, 8, 300)) for _ in range(400)]
    p_values = [chi2_p_value(a, b) for a, b in zip(draws[::2], draws[1::2], strict=True)]
    assert 0.01 <= np.mean(np.array(p_values) < 0.05) <= 0.1
    assert chi2_p_value(pd.Series(["a"]), pd.Series(["b"])) == 1
