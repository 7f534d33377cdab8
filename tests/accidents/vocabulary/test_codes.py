"""The code list is complete, consistent, and what the data dictionary says."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from accidents.data.tables import DTYPES
from accidents.vocabulary.codes import TABLES, column, columns, data_dictionary, main, raw_table

ROOT = Path(__file__).resolve().parents[3]
# Columns of the tables that are made from a raw column of another name.
MADE = {"hour", "minute"}


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_a_table_has_an_entry(table: str) -> None:
    names = {each.name for each in columns(table) if each.name}
    assert names - {"time"} == set(DTYPES[table]) - MADE


def test_names_are_unique_within_a_table() -> None:
    for table in TABLES:
        names = [each.name for each in columns(table) if each.name]
        raws = [raw for each in columns(table) for raw in each.raw_names]
        assert len(set(names)) == len(names)
        assert len(set(raws)) == len(raws)


def test_personal_data_is_not_read() -> None:
    assert column("adr").name is None


@pytest.mark.parametrize("each", columns(), ids=lambda each: f"{each.table}.{each.raw}")
def test_entries_are_consistent(each) -> None:  # type: ignore[no-untyped-def]
    assert each.known_at in ("dispatch", "on_scene", "investigation")
    assert set(each.codes_since) | set(each.codes_until) <= set(each.codes)
    assert bool(each.codes) == (each.kind in ("code", "department"))
    if each.range:
        assert each.range[0] < each.range[1]


def test_outcome_is_known_only_after_investigation() -> None:
    assert column("severity").known_at == "investigation"
    assert column("severity").codes["2"].startswith("killed")


def test_words_and_codes_translate_both_ways() -> None:
    category = column("category")
    assert category.word(7) == category.word("07") == "car alone"
    assert category.code("Car alone") == "7"
    assert column("department").word("2A") == "Corse-du-Sud"
    for each in columns():
        words = list(each.codes.values())
        for code, word in each.codes.items():
            assert each.word(code) == word
            assert words.count(word) > 1 or each.code(word) == code


def test_unknown_words_codes_and_columns_are_named() -> None:
    with pytest.raises(KeyError, match="weather: 77 is not a code"):
        column("weather").word(77)
    with pytest.raises(KeyError, match="weather: 'hot' is not one of"):
        column("weather").code("hot")
    with pytest.raises(KeyError, match="'temperature' is not a column of places"):
        column("temperature", "places")


def test_columns_are_found_by_raw_or_english_name() -> None:
    assert column("lum") is column("light")
    assert column("vehicle_id", "users").table == "users"
    assert raw_table("places") == "lieux"
    assert column("speed_limit").published_in(2019)
    assert not column("speed_limit").published_in(2018)
    assert not column("equipment").published_in(2019)


def test_importing_reads_no_file() -> None:
    code = "import sys, accidents.vocabulary.codes as c; sys.exit(c._document.cache_info().currsize)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_committed_data_dictionary_is_up_to_date() -> None:
    committed = (ROOT / "references" / "data_dictionary.md").read_text(encoding="utf-8")
    assert committed == data_dictionary(), "run: python -m accidents.vocabulary.codes"
    assert "| `severity` | `grav` |" in committed


def test_data_dictionary_is_written_below_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main()
    assert [path.name for path in (tmp_path / "references").iterdir()] == ["data_dictionary.md"]


@pytest.mark.realdata
def test_codes_agree_with_the_shared_code_list(baac: Path) -> None:
    shared = yaml.safe_load((baac / "codes.yaml").read_text(encoding="utf-8"))["tables"]
    for table in TABLES:
        theirs = shared[raw_table(table)]["columns"]
        assert {each.raw for each in columns(table)} == set(theirs)
        for each in columns(table):
            their_codes = theirs[each.raw].get("codes", {})
            assert without_accents(each.codes) == without_accents(their_codes), each.raw


def without_accents(codes: Mapping[str, str]) -> dict[str, str]:
    """Departments have their accents here."""
    plain = {code: unicodedata.normalize("NFD", word) for code, word in codes.items()}
    return {code: word.encode("ascii", "ignore").decode() for code, word in plain.items()}
