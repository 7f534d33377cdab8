"""Delimited text of any program: no line is lost, and both readers tolerate the same habits."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accidents.data.reading import read_year
from accidents.data.reading.delimited import split_rows
from accidents.data.sources import archives
from accidents.data.sources.settings import DataSettings
from accidents.errors import DataError
from accidents.scoring.batch import Intake, read_input
from tests.accidents.raw_year import RawYear

HEADER = "accident_id,time,department,light,note"
ROWS = [f"A{at},2026-10-{at:02}T18:30,69,1,x{at}" for at in range(1, 21)]


def read(folder: Path, *lines: str, header: str = HEADER) -> Intake:
    path = folder / "calls.csv"
    path.write_bytes("\n".join([header, *lines]).encode())
    return read_input(str(path), DataSettings())


def everywhere(intake: Intake) -> list[int]:
    return sorted([*intake.rows["row"], *intake.set_aside["row"]])


def with_line(at: int, text: str) -> list[str]:
    return [*ROWS[: at - 1], text, *ROWS[at:]]


@pytest.mark.parametrize(
    "lines",
    [
        with_line(5, 'A5,2026-10-05T18:30,69,1,"RN 7'),
        [*with_line(5, 'A5,2026-10-05T18:30,69,1,"RN 7')[:13], 'A14,2026-10-14T18:30,69,1,y"', *ROWS[14:]],
        [*with_line(5, 'A5,"2026-10-05T18:30,69,1,x')[:5], 'A6,2026-10-06T18:30",69,1,x', *ROWS[6:]],
        with_line(20, 'A20,2026-10-20T18:30,69,1,"cut of'),
        [*ROWS[:3], 'A4,2026-10-04T18:30,69,1,"RN 7', 'A5,69"', *ROWS[5:]],
    ],
    ids=["never closed", "closed nine lines later", "closed in the next line", "in the last", "before a cut"],
)
def test_no_row_vanishes_behind_an_open_quote(tmp_path: Path, lines: list[str]) -> None:
    intake = read(tmp_path, *lines)
    untouched = {line.split(",")[0] for line in lines if line in ROWS}
    assert untouched <= set(intake.rows["accident_id"])
    assert everywhere(intake) == list(range(1, len(intake) + 1))
    assert len(intake) >= len(untouched) + 1


@pytest.mark.parametrize("note", ["plain", '"open'], ids=["read at once", "read line by line"])
def test_separators_alone_are_a_row_also_where_they_are_tabs(note: str) -> None:
    rows = split_rows(f"a\tb\t{note}\n\u00a0\n\t\t\nc\td\te\n", "\t", 3)
    assert rows.cells[1:] == [["", "", ""], ["c", "d", "e"]]
    assert list(rows.lines) == [0, 2, 3]


def test_the_line_with_the_open_quote_is_set_aside_and_named(tmp_path: Path) -> None:
    intake = read(tmp_path, *with_line(5, 'A5,2026-10-05T18:30,69,1,"RN 7'))
    assert intake.set_aside["row"].tolist() == [5]
    assert intake.set_aside["reason"][0] == (
        "a quotation mark is opened and not closed as it should be (line 6)"
    )


def test_a_line_break_in_a_quoted_cell_is_text(tmp_path: Path) -> None:
    text = 'rainy, "slippery",\n\nand dark; see below\n'
    quoted = text.replace('"', '""')
    intake = read(tmp_path, *with_line(5, f'A5,2026-10-05T18:30,69,1,"{quoted}"'))
    assert len(intake.rows) == 20
    assert intake.rows["note"][4] == text


@pytest.mark.parametrize(
    ("line", "note"),
    [('A5,2026-10-05T18:30,69,1,5" pipe', '5" pipe'), ('A5,2026-10-05T18:30,69,1,"RN" 7', "RN 7"),
     ("A5,2026-10-05T18:30,69,1,l'été", "l'été"), ("A5,2026-10-05T18:30,69,1,a\0b", "a\0b"),
     ("A5,2026-10-05T18:30,69,1,a\x85b\u2028c", "a\x85b\u2028c")],
)  # fmt: skip
def test_marks_inside_of_a_cell_are_text(tmp_path: Path, line: str, note: str) -> None:
    intake = read(tmp_path, *ROWS[:4], line, *ROWS[5:])
    assert intake.rows["note"][4] == note
    assert intake.set_aside.empty


@pytest.mark.parametrize("line", ["A5,2026-10-05T18:30,69", "A5,2026-10-05T18:30,69,1,x,y", '""', "\0\0"])
def test_a_row_of_another_width_is_set_aside_with_its_line(tmp_path: Path, line: str) -> None:
    intake = read(tmp_path, *with_line(5, line))
    assert intake.set_aside["row"].tolist() == [5]
    assert intake.set_aside["reason"][0].endswith("fields, the header 5 (line 6)")


marks = st.sampled_from(['"', '""', ",", "\n", "\r", '",', ',"', '"\n"', ";", "'", "\0"])
spoils = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 34), marks), min_size=1, max_size=6)


@given(spoils=spoils)
@settings(max_examples=300, deadline=None)
def test_a_line_that_nobody_spoilt_is_a_row_whatever_stands_in_the_others(
    spoils: list[tuple[int, int, str]],
) -> None:
    lines = ROWS[:8]
    for at, where, mark in spoils:
        lines[at] = lines[at][:where] + mark + lines[at][where:]
    text = "\n".join(lines).replace("\r", "\n")
    rows = split_rows(text, ",", 5)
    found = dict(zip(rows.lines, rows.cells, strict=True))
    physical = text.split("\n")
    for at, line in enumerate(physical):
        if line in ROWS:
            assert found[at] == line.split(",")
    assert all(not physical[at].strip() for at in range(found and min(found)))
    # A line that is no row of its own belongs to the row above it, in a cell that is closed as it should be.
    for above, below in zip(rows.lines, [*rows.lines[1:], len(physical)], strict=True):
        inner = "\n".join(physical[above:below]).rstrip("\n")
        if "\n" in inner.strip():
            assert next(csv.reader(io.StringIO(inner, newline="\n"), strict=True)) == found[above]


def indexed(text: str) -> str:
    header, *rows = text.splitlines()
    separator = ";" if ";" in header else ","
    return "\n".join([separator + header, *(f"{at}{separator}{row}" for at, row in enumerate(rows))])


def numbered(text: str) -> str:
    """As R's write.table does it."""
    header, *rows = quoted(indexed(text)).splitlines()
    return "\n".join([header[len('"";') :], *rows])


def ended(text: str) -> str:
    return "\n".join(line + (";" if ";" in line else ",") for line in text.splitlines())


def ended_below(text: str) -> str:
    header, *rows = text.splitlines()
    return "\n".join([header, *ended("\n".join(rows)).splitlines()])


def cased(text: str) -> str:
    header, *rows = text.splitlines()
    return "\n".join([header.upper(), *rows])


def quoted(text: str) -> str:
    separator = ";" if ";" in text else ","
    return "\n".join(
        separator.join(f'"{cell}"' for cell in line.split(separator)) for line in text.splitlines()
    )


def told(text: str) -> str:
    return f"sep={';' if ';' in text else ','}\r\n\n{text}"


HABITS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "index column": lambda text: indexed(text).encode(),
    "row numbers without a name": lambda text: numbered(text).encode(),
    "separators at line ends": lambda text: ended(text).encode(),
    "separators at row ends": lambda text: ended_below(text).encode(),
    "capital header": lambda text: cased(text).encode(),
    "padded names": lambda text: ("\u00a0 " + text).encode(),
    "all quoted": lambda text: quoted(text).encode(),
    "sep line": lambda text: told(text).encode(),
    "pipes": lambda text: text.replace(";", "|").replace(",", "|").encode(),
    "BOM": lambda text: text.encode("utf-8-sig"),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "mixed line ends": lambda text: text.replace("\n", "\r\n", 2).encode() + b"\r\r\n\n",
    "gzip": lambda text: gzip.compress(text.encode()),
    "zip": lambda text: zipped({"table.csv": text, "__MACOSX/._table.csv": "x", "readme.md": "x"}),
}


def zipped(members: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return content.getvalue()


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("separator", [",", ";"])
def test_files_of_accidents_are_read_with_any_habit(tmp_path: Path, habit: str, separator: str) -> None:
    text = "\n".join([HEADER, *ROWS]).replace(",", separator)
    path = tmp_path / ("calls.zip" if habit == "zip" else "calls.csv")
    path.write_bytes(HABITS[habit](text))
    intake = read_input(str(path), DataSettings())
    assert intake.rows["accident_id"].tolist() == [row.split(",")[0] for row in ROWS]
    assert intake.tables.accidents["light"].tolist() == [1] * 20
    assert intake.rows["notes"].eq("").all()


@pytest.mark.parametrize("habit", HABITS)
def test_published_files_are_read_with_the_same_habits(tmp_path: Path, habit: str) -> None:
    raw = RawYear(2021)
    for row in raw.rows["caracteristiques"]:
        row.update(lat="50.62", long="3.05")  # a decimal comma is no separator here
    for row in raw.rows["lieux"]:
        row.update(larrout="6")
    files = raw.write(tmp_path)
    expected, _ = read_year(files)
    for path in files.paths.values():
        path.write_bytes(HABITS[habit](path.read_text(encoding="utf-8").rstrip("\n")))
    tables, report = read_year(files)
    for table in ("accidents", "places", "vehicles", "users"):
        pd.testing.assert_frame_equal(getattr(tables, table), getattr(expected, table))
    assert report.count(action="dropped") == 0


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ('"' + "x" * 200_000, "a cell has more than 131,072 characters (line 6)"),
        ('"' + "x" * 200_000 + '"', "a cell has more than 131,072 characters (line 6)"),
        ("x" * 200_000, "a cell has more than 131,072 characters (line 6)"),
        ('"' + "x " * 80 + "\n" + "x" * 200_000 + '"', "a quotation mark is opened"),
    ],
    ids=["never closed", "closed", "no quote", "of two lines"],
)
def test_a_cell_that_is_too_long_sets_aside_its_row_alone(tmp_path: Path, cell: str, why: str) -> None:
    intake = read(tmp_path, *with_line(5, f"A5,2026-10-05T18:30,69,1,{cell}"))
    assert len(intake.rows) == 19
    assert intake.set_aside["reason"][0].startswith(why)
    with pytest.raises(DataError, match=r"line 1: 200,000 characters name no columns\. Save"):
        read(tmp_path, *ROWS, header="x" * 200_000)


@pytest.mark.parametrize("blank", ["", " ", "\t", "\u00a0", "\u2003 \u00a0"])
def test_a_blank_line_is_no_row_wherever_it_stands(tmp_path: Path, blank: str) -> None:
    intake = read(tmp_path, blank, *ROWS[:2], blank, blank, *ROWS[2:], blank, header=f"{blank}\n{HEADER}")
    assert intake.rows["accident_id"].tolist() == [row.split(",")[0] for row in ROWS]
    assert intake.set_aside.empty
    files = RawYear(2021).write(tmp_path)
    expected, _ = read_year(files)
    for path in files.paths.values():
        header, *rows = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join([blank, header, blank, *rows, blank, ""]), encoding="utf-8")
    tables, report = read_year(files)
    pd.testing.assert_frame_equal(tables.accidents, expected.accidents)
    assert report.count(action="dropped") == 0
    assert files.usagers is not None
    files.usagers.write_text("\n".join([header, blank, blank]), encoding="utf-8")
    with pytest.raises(DataError, match=r"usagers-2021\.csv: has a header line and no rows"):
        read_year(files)


def test_an_unnamed_column_with_content_is_kept_and_an_empty_one_is_not(tmp_path: Path) -> None:
    intake = read(tmp_path, *(f"{row},{at},," for at, row in enumerate(ROWS)), header=f"{HEADER},,,")
    assert intake.rows["column_6"].tolist() == [str(at) for at in range(20)]
    assert not {"column_7", "column_8"} & set(intake.rows)


def test_an_unquoted_separator_does_not_pass_for_a_line_end(tmp_path: Path) -> None:
    intake = read(tmp_path, *with_line(5, "A5,2026-10-05T18:30,69,1,")[:4], "A5,2026-10-05T18:30,RN 7, 69,1,")
    assert intake.set_aside["row"].tolist() == [5]


def test_a_surplus_cell_behind_other_ids_is_no_row_number(tmp_path: Path) -> None:
    intake = read(tmp_path, *(f"{row},RN 7" for row in ROWS))
    assert (len(intake.rows), len(intake.set_aside)) == (0, len(ROWS))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped({"a.csv": "x", "b.csv": "y"}), "which of its tables is meant.*a.csv, b.csv. Unpack the one"),
        (zipped({"a.png": "x"}), "without CSV in it. Save it"),
        (zipped({"a.csv": "time,department\n" + "1,2\n" * 99})[:-30], "damaged .*Save it"),
        (
            gzip.compress(b"time,department\n1,2\n" * 99, mtime=0)[:-9],
            r"cannot be read \(.*cut short or damaged. Save",
        ),
        (zipped({"a.csv": "x" * 5000}), "unpacks to more than"),
        (gzip.compress(b"x" * 5000, mtime=0), "unpacks to more than"),
    ],
)
def test_archives_that_cannot_be_read_are_refused_with_the_remedy(
    tmp_path: Path, content: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST", 2**11)
    (tmp_path / "calls.zip").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_input(str(tmp_path / "calls.zip"), DataSettings())


def test_a_file_that_may_not_be_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").mkdir()
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\). Look whether"):
        archives.read_unpacked(tmp_path / "calls.csv", bool, "")


@pytest.mark.parametrize("table", ["caracteristiques", "lieux", "vehicules", "usagers"])
def test_a_published_file_cut_inside_quotes_is_refused(tmp_path: Path, table: str) -> None:
    files = RawYear(2021).write(tmp_path)
    path = files.paths[table]
    path.write_text(quoted(path.read_text(encoding="utf-8").rstrip("\n"))[:-3], encoding="utf-8")
    with pytest.raises(DataError, match=r"opened and not closed|is cut short"):
        read_year(files)


def test_a_torn_row_of_a_published_file_is_set_aside_under_its_number(tmp_path: Path) -> None:
    raw = RawYear(2021, accidents=2000)
    files = raw.write(tmp_path)
    assert files.caracteristiques is not None
    lines = files.caracteristiques.read_text(encoding="utf-8").split("\n")
    lines[7] = "\n" + lines[7][:20]
    files.caracteristiques.write_text("\n".join(lines), encoding="utf-8")
    intake = read_input(str(tmp_path), DataSettings())
    assert everywhere(intake) == list(range(1, 2001))
    aside = intake.set_aside.iloc[0]
    assert (aside["row"], aside["reason"]) == (7, "another number of fields than the header (line 9)")
