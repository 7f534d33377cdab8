"""docs/benchmarks.md, put together from one JSON file a benchmark in benchmarks/results/."""

from __future__ import annotations

import json
import os
import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from accidents.errors import AccidentsError
from accidents.files import write_whole
from accidents.strict import Strict

VERSIONS = ("pandas", "numpy", "scikit-learn", "lightgbm", "zenml", "mlflow", "evidently")
HEAD = """# Benchmarks

Made by `make bench`, which measures all of it again. `python -m benchmarks --quick` tries a small version of
each and keeps no figures. The load is that of the machine before the start.
"""


class Figure(Strict):
    """One measured figure, beside what it should be.

    `met` is None where there is no target. `why` explains a target that was missed: written by hand into the
    file in benchmarks/results/, and kept while the benchmark comes to the same figure.
    """

    what: str
    target: str
    figure: str
    met: bool | None = None
    why: str = ""


class Outcome(Strict):
    """What a benchmark found: what was measured (Markdown), its figures, and more Markdown below them."""

    about: str
    figures: tuple[Figure, ...] = ()
    body: str = ""


class Machine(Strict):
    """What it was measured on; never whose machine it is or where."""

    cores: int
    memory_gib: int
    system: str
    python: str
    versions: Mapping[str, str]
    date: str
    load: float

    @property
    def equipment(self) -> str:
        """What does not change from one measurement to the next."""
        packages = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"{self.cores} cores, {self.memory_gib} GiB, {self.system}, Python {self.python}, {packages}"

    def line(self, known: str = "") -> str:
        """One line of Markdown; without the equipment where that is `known`."""
        equipment = "" if self.equipment == known else f"{self.equipment}; "
        return f"{equipment}{self.date}, load {self.load:.1f}."


class Section(Strict):
    """A benchmark's result as it is kept."""

    title: str
    command: str
    outcome: Outcome
    machine: Machine


def this_machine() -> Machine:
    """Describe this machine, now. `cores` are those this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        cores=cores,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        system=platform.system(),
        python=platform.python_version(),
        versions={name: version(name) for name in VERSIONS},
        date=datetime.now(UTC).date().isoformat(),
        load=os.getloadavg()[0],
    )


def keep(folder: Path, name: str, section: Section) -> Section:
    """Write a section into the results, with the explanations of the same figures; return it as kept."""
    before = read(folder, name)
    known = before.outcome.figures if before else ()
    reasons = {(figure.what, figure.figure): figure.why for figure in known}
    figures = tuple(
        figure.model_copy(update={"why": figure.why or reasons.get((figure.what, figure.figure), "")})
        if figure.met is False
        else figure
        for figure in section.outcome.figures
    )
    kept = section.model_copy(update={"outcome": section.outcome.model_copy(update={"figures": figures})})
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(
        _file(folder, name), json.dumps(kept.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    )
    return kept


def read(folder: Path, name: str) -> Section | None:
    """Return the section of a benchmark, None if it was never measured.

    Raises AccidentsError for a broken file.
    """
    path = _file(folder, name)
    if not path.exists():
        return None
    try:
        return Section.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AccidentsError(
            f"{path.name} in the results is broken: {error}. Delete it and run `python -m benchmarks {name}`."
        ) from error


def assemble(titles: Mapping[str, str], results: Path, document: Path) -> None:
    """Write the whole document: a section for each benchmark of `titles` {name: title}, in that order."""
    sections = {name: read(results, name) for name in titles}
    equipment = Counter(section.machine.equipment for section in sections.values() if section)
    usual = equipment.most_common(1)[0][0] if equipment else ""
    parts = [HEAD + (f"Unless a section says otherwise, it was measured on {usual}.\n" if usual else "")]
    for name, section in sections.items():
        parts.append(
            markdown(section, usual)
            if section
            else f"## {titles[name]}\n\nNot measured yet: `python -m benchmarks {name}`\n"
        )
    document.parent.mkdir(parents=True, exist_ok=True)
    write_whole(document, "\n".join(parts))


def markdown(section: Section, usual: str = "") -> str:
    """Return a section of the document; `usual`: the equipment that the document names at its top."""
    outcome = section.outcome
    parts = [f"## {section.title}", outcome.about, f"Again: `{section.command}`"]
    if outcome.figures:
        parts.append(_table(outcome.figures))
    missed = [figure for figure in outcome.figures if figure.met is False]
    parts += [f"**Not met: {figure.what}.** {figure.why or 'Not explained yet.'}" for figure in missed]
    if outcome.body:
        parts.append(lower_headings(outcome.body.strip()))
    parts.append(f"*Measured on {section.machine.line(usual)}*")
    return "\n\n".join(parts) + "\n"


def lower_headings(text: str) -> str:
    """Markdown whose headings stand below a section's own; fenced code is left alone."""
    fenced = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)
    return "".join(
        part if index % 2 else re.sub(r"^#{1,2} ", "### ", part, flags=re.M)
        for index, part in enumerate(fenced)
    )


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table; `|` in a cell is escaped."""
    lines: list[tuple[str, ...]] = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _table(figures: tuple[Figure, ...]) -> str:
    words = {True: "yes", False: "**no**", None: ""}
    rows = [(figure.what, figure.target, figure.figure, words[figure.met]) for figure in figures]
    return table(("what", "target", "figure", "met"), rows)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"
