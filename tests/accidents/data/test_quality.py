"""The quality report counts, merges and prints."""

from __future__ import annotations

import json

import pytest

from accidents.data.quality import QualityReport


def report() -> QualityReport:
    made = QualityReport()
    made.add(
        2013, "accidents", "light", "not in the code list", "blanked", rows=10, count=2, example="line 3: '9'"
    )
    made.add(2013, "users", "", "copy of another row", "dropped", rows=20, count=5)
    return made


def test_findings_become_rows_of_a_frame() -> None:
    frame = report().to_frame()
    assert list(frame.columns) == ["year", "table", "column", "rule", "action", "rows", "count", "example"]
    assert frame["count"].tolist() == [2, 5]
    assert list(QualityReport().to_frame().columns) == list(frame.columns)


def test_counts_can_be_asked_for() -> None:
    assert report().count() == 7
    assert report().count(action="dropped", table="users") == 5
    assert report().count(action="repaired") == 0


def test_nothing_found_is_not_a_finding() -> None:
    made = QualityReport()
    made.add(2013, "users", "", "copy of another row", "dropped", rows=20, count=0)
    assert len(made) == 0


def test_adding_reports_changes_neither() -> None:
    first, second = report(), report()
    both = first + second
    assert (len(both), len(first), len(second)) == (4, 2, 2)
    both.add(2014, "users", "", "x", "noted", rows=1, count=1)
    assert len(first) == 2


def test_json_is_a_list_of_findings() -> None:
    read = json.loads(report().to_json())
    assert read[0]["example"] == "line 3: '9'"
    assert json.loads(QualityReport().to_json()) == []


def test_unknown_actions_are_refused() -> None:
    with pytest.raises(ValueError, match="'fixed' is not one of repaired"):
        QualityReport().add(2013, "users", "", "x", "fixed", rows=1, count=1)  # type: ignore[arg-type]
