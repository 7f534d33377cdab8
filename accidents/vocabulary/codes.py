"""The code list (codes.yaml) as typed objects: what each raw column is called here and what its values mean.

`python -m accidents.vocabulary.codes` writes references/data_dictionary.md from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from accidents.files import write_whole

TABLES = ("accidents", "places", "vehicles", "users")
DATA_DICTIONARY = Path("references/data_dictionary.md")


@dataclass(frozen=True)
class Column:
    """One raw column. `codes` maps a code, as text without leading zeros, to its English word."""

    table: str
    raw: str
    label: str
    kind: str
    known_at: str
    name: str | None = None  # None: not read into the tables
    codes: Mapping[str, str] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    aliases: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    range: tuple[float, float] | None = None
    unit: str = ""
    codes_since: Mapping[str, int] = field(default_factory=dict)
    codes_until: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    @cached_property
    def raw_names(self) -> tuple[str, ...]:
        """Every name the column has borne in a file, in lower case."""
        return tuple(dict.fromkeys(name.lower() for name in (self.raw, *self.aliases)))

    def published_in(self, year: int) -> bool:
        """Whether the publisher's file of `year` has this column."""
        return (self.since or year) <= year <= (self.until or year)

    def word(self, code: object) -> str:
        """English word of a code (3, "3" or "03"). Raises KeyError naming the column if there is none."""
        text = str(code)
        label = self.codes.get(text, self.codes.get(text.lstrip("0") or "0"))
        if label is None:
            raise KeyError(
                f"{self.name or self.raw}: {code!r} is not a code; there are {', '.join(self.codes)}"
            )
        return label

    def code(self, word: str) -> str:
        """Code of an English word, in any case. Raises KeyError naming the column if there is none."""
        for code, known in self.codes.items():
            if known.lower() == word.strip().lower():
                return code
        raise KeyError(f"{self.name or self.raw}: {word!r} is not one of {', '.join(self.codes.values())}")


@dataclass(frozen=True)
class Caution:
    """What a column of some years is not good for, and what reading does: "blanked" or "noted"."""

    column: str
    first: int
    last: int
    action: str
    note: str


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    text = files("accidents.vocabulary").joinpath("codes.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


@lru_cache(maxsize=8)
def columns(table: str | None = None) -> tuple[Column, ...]:
    """Columns of one of our tables in the publisher's order, or of all four."""
    if table is None:
        return tuple(column for each in TABLES for column in columns(each))
    entries = _document()["tables"][table]["columns"]
    return tuple(_column(table, raw, entry) for raw, entry in entries.items())


def _column(table: str, raw: str, entry: Mapping[str, Any]) -> Column:
    """Build a column from its YAML entry; the collections become immutable."""
    plain = dict(entry)
    plain["codes"] = MappingProxyType(dict(plain.get("codes", {})))
    plain["missing"] = frozenset(plain.get("missing", ()))
    plain["aliases"] = tuple(plain.get("aliases", ()))
    plain["range"] = tuple(plain["range"]) if "range" in plain else None
    for key in ("codes_since", "codes_until"):
        plain[key] = {code: year for year, codes in plain.get(key, {}).items() for code in codes}
    return Column(table=table, raw=raw, **plain)


def column(name: str, table: str | None = None) -> Column:
    """Return the column of this English or raw name. Raises KeyError if there is none."""
    for each in columns(table):
        if name in (each.name, each.raw):
            return each
    raise KeyError(
        f"{name!r} is not a column{f' of {table}' if table else ''}; see references/data_dictionary.md"
    )


@lru_cache(maxsize=1)
def cautions() -> tuple[Caution, ...]:
    """Columns that some years recorded so differently that they need a word of caution."""
    return tuple(Caution(**entry) for entry in _document()["cautions"])


def raw_table(table: str) -> str:
    """Return the publisher's name of one of our tables: places -> lieux."""
    return str(_document()["tables"][table]["raw"])


def data_dictionary() -> str:
    """Return the whole code list as a Markdown page."""
    lines = [
        "# Data dictionary",
        "",
        "Generated from accidents/vocabulary/codes.yaml by `python -m accidents.vocabulary.codes`; "
        "do not edit.",
        "",
    ]
    for table in TABLES:
        lines += [f"## {table} (`{raw_table(table)}`)", "", _document()["tables"][table]["label"] + ".", ""]
        lines += [
            "| column | raw name | what | kind | known at | years | values |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_row(each) for each in columns(table)] + [""]
    lines += ["## Cautions", ""]
    lines += [
        f"- `{each.column}` {each.first}-{each.last}: {each.note} ({each.action})" for each in cautions()
    ]
    return "\n".join(lines) + "\n"


def _row(each: Column) -> str:
    years = f"{each.since or 2005}-{each.until or ''}" if each.since or each.until else "all"
    name = f"`{each.name}`" if each.name else "not read"
    raw = ", ".join(f"`{raw}`" for raw in (each.raw, *each.aliases))
    values = "<br>".join(_values(each)).replace("|", "\\|")
    return f"| {name} | {raw} | {each.label} | {each.kind} | {each.known_at} | {years} | {values} |"


def _values(each: Column) -> Iterator[str]:
    if each.range:
        yield f"{each.range[0]} to {each.range[1]} {each.unit}".rstrip()
    elif each.unit:
        yield each.unit
    for code, word in each.codes.items():
        since, until = each.codes_since.get(code), each.codes_until.get(code)
        yield (
            f"{code} = {word}"
            + (f" (since {since})" if since else "")
            + (f" (until {until})" if until else "")
        )
    if each.missing:
        yield "not stated: " + ", ".join(sorted(each.missing))
    if each.note:
        yield f"_{each.note}_"


def main() -> None:
    """Write references/data_dictionary.md under the current folder."""
    DATA_DICTIONARY.parent.mkdir(parents=True, exist_ok=True)
    write_whole(DATA_DICTIONARY, data_dictionary())
    print(f"wrote {DATA_DICTIONARY}")


if __name__ == "__main__":
    main()
