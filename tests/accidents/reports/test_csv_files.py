"""CSV files for people: no cell is a formula, and every number stays one."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from accidents.reports.csv_files import neutral, write_csv

FORMULAS = [
    "=cmd|' /C calc'!A0", "+1+1", "-1+1", "-cmd", "@SUM(A1)", "\t=1", "\r=1", "=", "+33 6 12", "-", "--1",
    "+.", "＝1+1", "-1e5x",
]  # fmt: skip
HARMLESS = ["", "A1", "-1.5", "+2", "-1,5", "-.5", "-1e-5", "1=1", " =1",
            "a pedestrian is hit (+0.81); night (-0.20)", "l'été", "48,85",
            '[{"category": -1}]', "x; -1", "a;-1;b"]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_made_a_text(text: str) -> None:
    assert neutral(pd.Series([text, "x"], dtype="str"))[0].replace("'", "") == text.replace("'", "")
    assert neutral(pd.Series([text, "x"], dtype="str"))[0].startswith("'")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_formula_stays(text: str) -> None:
    assert neutral(pd.Series([text], dtype="str")).tolist() == [text]


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("x;=cmd", "x;'=cmd"),
        ('x;"=cmd"', 'x;"\'=cmd"'),
        ("x\n=cmd\n@y", "x\n'=cmd\n'@y"),
        ("-1;=cmd", "-1;'=cmd"),
    ],
)
def test_nor_is_what_another_separator_makes_of_it(text: str, then: str) -> None:
    assert neutral(pd.Series([text], dtype="str")).tolist() == [then]


def test_a_carriage_return_begins_no_row(tmp_path: Path) -> None:
    frame = pd.DataFrame({"place": pd.Series(["a\rb", "c"], dtype="str"), "n": [1, 2]})
    write_csv(frame, tmp_path / "f.csv", raw=True)
    assert pd.read_csv(tmp_path / "f.csv").equals(frame)
    assert '"a\rb"' in (tmp_path / "f.csv").read_bytes().decode()


def test_names_are_cells_too_and_gaps_and_numbers_stay(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "=x": pd.Series(["=a", None], dtype="str"), "n": [-1.5, float("nan")],
        "k": [-1, 2], "b": [True, False],
        "o": pd.Series(["@a", 3], dtype=object),
    })  # fmt: skip
    write_csv(frame, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as lines:
        assert list(csv.reader(lines)) == [
            ["'=x", "n", "k", "b", "o"], ["'=a", "-1.5", "-1", "True", "'@a"], ["", "", "2", "False", "3"]
        ]  # fmt: skip
    write_csv(frame, tmp_path / "raw.csv", raw=True)
    assert (tmp_path / "raw.csv").read_text().startswith("=x,n,k,b,o\n=a,")
