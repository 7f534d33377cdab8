"""The findings of .ci/accepted_findings.yaml, and which of them are accepted no longer."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

FILE = Path(__file__).with_name("accepted_findings.yaml")
ANY = "any"
LONGEST = datetime.timedelta(days=366)  # nobody looks again at what is accepted for longer


class Accepted(BaseModel):
    """A finding that we live with for a while."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1)]
    where: Annotated[tuple[str, ...], Field(alias="in", min_length=1)]
    until: datetime.date
    why: Annotated[str, Field(min_length=10)]


def read(file: Path = FILE) -> tuple[Accepted, ...]:
    """Read the list; ends the program with what is wrong in it."""
    try:
        return TypeAdapter(tuple[Accepted, ...]).validate_python(
            yaml.safe_load(file.read_text("utf-8")) or ()
        )
    except (ValidationError, yaml.YAMLError) as error:
        raise SystemExit(f"{file.name}: {error}") from None


def ids(findings: tuple[Accepted, ...], where: str, today: datetime.date) -> frozenset[str]:
    """Return what is accepted in a lock or image today; `any` may be among it."""
    return frozenset(each.id for each in findings if where in each.where and today <= each.until)


def overdue(findings: tuple[Accepted, ...], today: datetime.date) -> list[str]:
    """Tell those whose day has passed, or is too far away."""
    return [
        f"{each.id} in {', '.join(each.where)}: accepted until {each.until}, which "
        f"{'has passed' if today > each.until else 'is over a year away'}. Look again: {FILE.name}"
        for each in findings
        if today > each.until or each.until - today > LONGEST
    ]
