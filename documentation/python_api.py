"""The reference of the Python API: a page a room of the domain, which mkdocstrings draws from docstrings."""

from __future__ import annotations

import ast
import pkgutil
from pathlib import Path

import accidents
import stacks.endpoints

FOLDER = "reference/python"
_TOP = """# Python API

`accidents` is plain Python: no ZenML, no HTTP, no file system beyond the paths it is handed. A room is a
page; what is in it comes from its docstrings. `stacks.endpoints` is what serves, whatever serves it.

"""


def python_api_pages() -> dict[str, str]:
    """Return all pages, by their address in the site: an index, then one a room."""
    rooms = public_rooms()
    listed = "\n".join(f"- [{room}]({room}.md): {_first_line(room)}" for room in rooms)
    pages = {f"{FOLDER}/index.md": _TOP + listed + "\n"}
    for room, modules in rooms.items():
        parts = [
            f"# {room}\n\n{_first_line(room)}\n",
            *(f"## {module}\n\n::: {module}\n" for module in modules),
        ]
        pages[f"{FOLDER}/{room}.md"] = "\n".join(parts)
    return pages


def public_rooms() -> dict[str, tuple[str, ...]]:
    """Return the modules of each room: those below it that do not start with `_`, but for migrations."""
    rooms = {
        f"accidents.{room.name}": _modules(Path(accidents.__path__[0]) / room.name, f"accidents.{room.name}")
        for room in pkgutil.iter_modules(accidents.__path__)
        if room.ispkg
    }
    name = stacks.endpoints.__name__
    return rooms | {name: _modules(Path(stacks.endpoints.__path__[0]), name)}


def _modules(folder: Path, name: str) -> tuple[str, ...]:
    modules = pkgutil.walk_packages([str(folder)], f"{name}.")
    return tuple(
        module.name
        for module in modules
        if not module.ispkg and "._" not in module.name and ".migrations" not in module.name
    )


def _first_line(room: str) -> str:
    source = Path(__file__).resolve().parent.parent / room.replace(".", "/") / "__init__.py"
    return (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").partition("\n")[0]
