"""The quality report: a count of everything that reading repaired, blanked, dropped or noted."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass, fields
from typing import Literal, get_args

import pandas as pd

Action = Literal["repaired", "blanked", "dropped", "noted", "warned"]


@dataclass(frozen=True)
class Finding:
    """`count` of `rows` met `rule`; `example` is one of them, with its line.

    They are raw rows of one year's table or, where the rule says so, accidents or files.
    """

    year: int
    table: str
    column: str
    rule: str
    action: Action
    rows: int
    count: int
    example: str = ""


class QualityReport:
    """Findings in the order in which reading made them. `a + b` is a report of both."""

    def __init__(self, findings: list[Finding] | None = None) -> None:
        self._findings = list(findings or ())

    def add(
        self,
        year: int,
        table: str,
        column: str,
        rule: str,
        action: Action,
        *,
        rows: int,
        count: int,
        example: str = "",
    ) -> None:
        """Record a finding; a count of zero is none.

        Raises ValueError for an unknown action, or for a count of more than there are.
        """
        if action not in get_args(Action):
            raise ValueError(f"{action!r} is not one of {', '.join(get_args(Action))}")
        if count > rows:
            raise ValueError(f"{rule}: {count} of {rows} cannot be")
        if count:
            self._findings.append(Finding(year, table, column, rule, action, int(rows), int(count), example))

    def __add__(self, other: QualityReport) -> QualityReport:
        return QualityReport(self._findings + other._findings)

    def __len__(self) -> int:
        return len(self._findings)

    def count(self, **where: object) -> int:
        """Sum of the counts of the findings whose fields equal `where`, e.g. count(action="dropped")."""
        return sum(each.count for each in self._findings if where.items() <= asdict(each).items())

    def warnings(self) -> list[str]:
        """Return what a person should hear of at once, a sentence a rule.

        The same of several years is one.
        """
        alike: dict[tuple[str, str], list[Finding]] = {}
        for each in self._findings:
            if each.action == "warned":
                alike.setdefault((each.rule, each.example), []).append(each)
        return [_sentence(rule, example, findings) for (rule, example), findings in alike.items()]

    def to_frame(self) -> pd.DataFrame:
        """One row per finding, with the fields of `Finding` as columns."""
        names = [each.name for each in fields(Finding)]
        return pd.DataFrame([astuple(each) for each in self._findings], columns=names)

    def to_json(self) -> str:
        """Return the findings as a JSON array of objects."""
        return str(self.to_frame().to_json(orient="records", force_ascii=False, indent=1))


def _sentence(rule: str, example: str, findings: list[Finding]) -> str:
    count, rows = sum(each.count for each in findings), sum(each.rows for each in findings)
    years = ", ".join(str(year) for year in dict.fromkeys(each.year for each in findings))
    return f"{years}: {rule}: {count:,} of {rows:,} ({example})."
