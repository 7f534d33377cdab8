"""Draw who imports whom, and write it down: docs/architecture.png and the table in docs/architecture.md.

`python .ci/architecture.py` writes both; with `--check` it only says whether they are still right.
"""

from __future__ import annotations

import argparse
import ast
import random
import sys
import textwrap
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grimp
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "architecture.png"
BEGIN, END = "<!-- made by .ci/architecture.py -->", "<!-- end -->"
TOP = "run.py"
COLOURS = ("#f3d9b1", "#d5e8d4", "#c9ddf0", "#e5dcef", "#f2f2f2")  # a floor each, from the bottom
SLOT, STOREY, HEIGHT = 1.4, 1.7, 1.1  # of one arrow, from floor to floor, of a box; inches

Edge = tuple[str, str]


@dataclass(frozen=True)
class Architecture:
    """The rooms with what each is for and its sub-packages, and the imports between them."""

    rooms: Mapping[str, str]
    parts: Mapping[str, tuple[str, ...]]
    edges: tuple[Edge, ...]

    def table(self) -> str:
        """As Markdown: the whole of what the picture shows."""
        lines = ["| room | what it is | imports | sub-packages |", "|---|---|---|---|"]
        for room, purpose in self.rooms.items():
            imported = ", ".join(f"`{to}`" for of, to in self.edges if of == room) or "–"
            lines.append(
                f"| `{room}` | {purpose} | {imported} | {', '.join(self.parts.get(room, ())) or '–'} |"
            )
        return "\n".join(lines)

    def floors(self) -> dict[str, int]:
        """Return the floor of each room, 0 at the bottom: one below the lowest that imports it."""
        importers = defaultdict(set)
        for of, to in self.edges:
            importers[to].add(of)
        depth: dict[str, int] = {}

        def below_top(room: str) -> int:
            if room not in depth:
                depth[room] = 1 + max((below_top(importer) for importer in importers[room]), default=-1)
            return depth[room]

        lowest = max(below_top(room) for room in self.rooms)
        return {room: lowest - depth[room] for room in self.rooms}


def read_imports() -> Architecture:
    """Read the rooms from pyproject.toml (import-linter's root packages), the imports from the sources."""
    sys.path.insert(0, str(ROOT))
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = sorted(settings["tool"]["importlinter"]["root_packages"])
    graph = grimp.build_graph(*names, cache_dir=None)
    edges = {
        (of.partition(".")[0], to.partition(".")[0])
        for of in graph.modules
        for to in graph.find_modules_directly_imported_by(of)
    }
    edges |= {(TOP, to) for to in _imported_by(ROOT / TOP) & set(names)}
    rooms = {TOP: _purpose(ROOT / TOP), **{name: _purpose(ROOT / name / "__init__.py") for name in names}}
    parts = {
        name: tuple(
            sorted(child.rpartition(".")[2] for child in graph.find_children(name) if _is_package(child))
        )
        for name in names
    }
    return Architecture(rooms, parts, tuple(sorted(edge for edge in edges if edge[0] != edge[1])))


def _is_package(module: str) -> bool:
    return ROOT.joinpath(*module.split("."), "__init__.py").is_file()


def _imported_by(file: Path) -> set[str]:
    """Return the top-level names that a module imports; grimp reads packages only."""
    nodes = list(ast.walk(ast.parse(file.read_bytes())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {
        name.partition(".")[0]
        for name in plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    }


def _purpose(file: Path) -> str:
    """Return the docstring's first clause."""
    docstring = ast.get_docstring(ast.parse(file.read_bytes())) or ""
    return min((docstring.partition(mark)[0] for mark in (": ", ". ", ";", "\n")), key=len).rstrip(".")


def arrange(imports: Architecture) -> dict[Edge, int]:
    """Give each arrow a column of its own, so that none runs through a room it does not mean.

    A room spans the columns of its arrows. Columns are exchanged as long as that makes fewer clashes and
    narrower rooms, from several beginnings; the same imports give the same picture.
    """
    floors, chance = imports.floors(), random.Random(7)

    def cost(order: Sequence[Edge]) -> int:
        spans = _spans(order)
        clashes = sum(
            spans[room][0] <= column <= spans[room][1] and floors[of] > floors[room] > floors[to]
            for column, (of, to) in enumerate(order)
            for room in spans
        )
        overlaps = sum(
            spans[a][0] <= spans[b][1] and spans[b][0] <= spans[a][1]
            for a in spans
            for b in spans
            if a < b and floors[a] == floors[b]
        )
        return 100 * (clashes + overlaps) + sum(last - first for first, last in spans.values())

    def settled(order: list[Edge]) -> list[Edge]:
        while True:
            others = [_swapped(order, a, b) for a in range(len(order)) for b in range(a)]
            best = min(others, key=cost)
            if cost(best) >= cost(order):
                return order
            order = best

    beginnings = [chance.sample(imports.edges, len(imports.edges)) for _ in range(12)]
    return {edge: column for column, edge in enumerate(min(map(settled, beginnings), key=cost))}


def _swapped(order: Sequence[Edge], a: int, b: int) -> list[Edge]:
    other = list(order)
    other[a], other[b] = other[b], other[a]
    return other


def _spans(order: Iterable[Edge]) -> dict[str, tuple[int, int]]:
    """First and last column of each room."""
    columns = defaultdict(list)
    for column, edge in enumerate(order):
        for room in edge:
            columns[room].append(column)
    return {room: (min(places), max(places)) for room, places in columns.items()}


def draw(imports: Architecture, picture: Path) -> None:
    """Draw it; the table goes into the picture too, so that it can be checked."""
    floors, columns = imports.floors(), arrange(imports)
    width, height = SLOT * len(columns), STOREY * max(floors.values()) + HEIGHT
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-0.05, width + 0.05), ylim=(-0.05, height + 0.05))
    axes.axis("off")
    for (of, to), column in columns.items():
        x = SLOT * (column + 0.5)
        axes.annotate(
            "", (x, STOREY * floors[to] + HEIGHT), (x, STOREY * floors[of]),
            arrowprops={"arrowstyle": "-|>", "color": "#555555", "shrinkA": 0, "shrinkB": 1},
        )  # fmt: skip
    for room, (first, last) in _spans(columns).items():
        _box(axes, imports, room, (SLOT * first, SLOT * (last + 1)), floors[room])
    figure.savefig(picture, dpi=110, metadata={"Description": imports.table(), "Software": None})


def _box(axes: Axes, imports: Architecture, room: str, sides: tuple[float, float], floor: int) -> None:
    left, right, bottom = sides[0] + 0.06, sides[1] - 0.06, STOREY * floor
    shape = FancyBboxPatch(
        (left, bottom), right - left, HEIGHT, boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=COLOURS[floor % len(COLOURS)], edgecolor="#333333",
    )  # fmt: skip
    axes.add_patch(shape)
    letters = int((right - left) * 11.5)
    about = "\n".join(textwrap.wrap(imports.rooms[room].replace("`", ""), letters))
    inside = "\n".join(textwrap.wrap("  ".join(imports.parts.get(room, ())), letters))
    middle = (left + right) / 2
    axes.text(middle, bottom + HEIGHT - 0.08, room, ha="center", va="top", weight="bold", size=11.5)
    axes.text(middle, bottom + HEIGHT - 0.34, about, ha="center", va="top", size=9)
    axes.text(middle, bottom + 0.07, inside, ha="center", va="bottom", size=9, family="monospace")


def with_table(page: str, table: str) -> str:
    """Return the page with its table renewed. Raises ValueError if it has no place for one."""
    before, begin, rest = page.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (begin and closed):
        raise ValueError(f"the page has no `{BEGIN}` ... `{END}` for the table")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def stale(imports: Architecture, page: Path, picture: Path) -> list[str]:
    """Return what no longer says what the imports say."""
    content = page.read_text(encoding="utf-8")
    with Image.open(picture) as image:
        drawn = image.info.get("Description")
    return [
        file.name
        for file, right in (
            (page, with_table(content, imports.table()) == content),
            (picture, drawn == imports.table()),
        )
        if not right
    ]


def main() -> int:
    """Write page and picture, or check them; 1 if they are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something is stale")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    imports = read_imports()
    if not arguments.check:
        page = with_table(arguments.page.read_text(encoding="utf-8"), imports.table())
        arguments.page.write_text(page, encoding="utf-8")
        draw(imports, arguments.picture)
    old = stale(imports, arguments.page, arguments.picture)
    if old:
        print(f"Stale: {', '.join(old)}. Renew: python .ci/architecture.py", file=sys.stderr)
    return bool(old)


if __name__ == "__main__":
    raise SystemExit(main())
