"""Whatever text a cell holds, reading gives tables or a DataError, and no accident goes missing unseen."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accidents.data.quality import QualityReport
from accidents.data.reading import read_year
from accidents.data.sources.year_files import YearFiles
from accidents.data.tables import Tables
from accidents.errors import DataError
from tests.accidents.raw_year import NEW, OLD, RawYear

CELLS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet='0123456789.,-+ ()";\n\r\t\u00a0EeAB:Ââ²', max_size=12),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.sampled_from(["", "-1", " -1", "(1)", ".", "1.0", "0", "999999999999", "1e400", '"', "201300000002"]),
)
PLACES = st.sampled_from(
    [(2013, table, column) for table in OLD for column in OLD[table]]
    + [(2021, table, column) for table in NEW for column in NEW[table]]
)
ACCIDENTS = 4


def attempt(files: YearFiles) -> tuple[Tables, QualityReport] | str:
    """What was read, or the message of the refusal. Anything else that is raised fails the test."""
    try:
        return read_year(files)
    except DataError as error:
        return str(error)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    place=PLACES,
    cells=st.lists(CELLS, min_size=1, max_size=ACCIDENTS),
    encoding=st.sampled_from(["utf-8", ""]),
)
def test_any_cell_text_is_read_or_refused(
    place: tuple[int, str, str], cells: list[str], encoding: str
) -> None:
    year, table, column = place
    # What no file in these encodings can hold is not a cell.
    cells = [cell.encode(encoding or "latin-1", "replace").decode(encoding or "latin-1") for cell in cells]
    raw = RawYear(year, ACCIDENTS).set(table, column, *cells)
    with tempfile.TemporaryDirectory() as folder:
        outcome = attempt(raw.write(Path(folder), encoding))
    if isinstance(outcome, str):
        assert folder in outcome
        return
    tables, report = outcome
    for each in ("accidents", "vehicles", "users"):
        assert len(getattr(tables, each)) + report.count(table=each, action="dropped") == ACCIDENTS
    assert tables.places["accident_id"].equals(tables.accidents["accident_id"])
    tables.validate()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    content=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)), cut=st.integers(0, 400)
)
def test_any_bytes_are_read_or_refused(content: bytes, cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "caracteristiques_2013.csv"
        path.write_bytes(RawYear(2013).text("caracteristiques").encode()[:cut] + content)
        outcome = attempt(YearFiles(2013, caracteristiques=path))
    if isinstance(outcome, str):
        assert path.name in outcome
    else:
        assert 0 < len(outcome[0].accidents) <= 3
