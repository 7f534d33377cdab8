"""The code that something runs through: the modules it imports, theirs, and the tables that these read.

Found in the sources themselves, nothing is imported. docs/decisions/0014 tells what it is for.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from accidents.files import ROOT

OURS = ("accidents", "engine", "steps", "pipelines", "commands")
IN_STEPS = ("accidents", "engine", "pipelines", "stacks", "steps")
# What trees, encoders, calibrations and figures come out of: other versions may give other numbers.
LIBRARIES = ("lightgbm", "numpy", "pandas", "scikit-learn", "scipy")


@dataclass(frozen=True)
class _Module:
    """One module: its file, what it may import when it runs, the tables it reads, and what it says."""

    path: Path
    imports: frozenset[str]
    tables: tuple[Path, ...]
    meaning: str


def files_of(*roots: str, but: Sequence[str] = (), root: Path = ROOT) -> list[Path]:
    """Files of the modules that `roots` run through, and of the tables these read.

    Parameters
    ----------
    roots : modules, such as "steps.training.train_model".
    but : packages that are passed over, with what only they import.
    """
    modules = _modules(roots, tuple(but), root)
    return sorted({path for module in modules.values() for path in (module.path, *module.tables)})


def code_version(*roots: str, but: Sequence[str] = (), root: Path = ROOT) -> str:
    """Hash of what that code does: another layout, comment or docstring gives the same."""
    digest = hashlib.sha256(libraries().encode())
    for name, module in sorted(_modules(roots, tuple(but), root).items()):
        digest.update(f"\n{name} {module.meaning}".encode())
        for table in module.tables:
            digest.update(table.name.encode() + _content(table))
    return digest.hexdigest()[:16]


def _content(table: Path) -> bytes:
    """Return what a table says; of YAML without layout and comments."""
    content = table.read_bytes()
    return repr(yaml.load(content, yaml.CSafeLoader)).encode() if table.suffix == ".yaml" else content


def tree_version(root: Path = ROOT) -> str:
    """Hash of all code and tables that steps of any pipeline run through, byte by byte: an image's label."""
    digest = hashlib.sha256()
    for path in sorted(path for room in IN_STEPS for path in (root / room).rglob("*")):
        if path.suffix in (".py", ".json", ".csv"):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:16]


@cache
def running_version() -> str:
    """Hash of the code and libraries of this process: as they were when it was first asked."""
    return hashlib.sha256(f"{tree_version()} {libraries()}".encode()).hexdigest()[:16]


def libraries() -> str:
    """Return the libraries whose numbers are ours, with the versions that are installed."""
    return ", ".join(f"{name} {_installed(name)}" for name in LIBRARIES)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _modules(roots: Sequence[str], but: tuple[str, ...], root: Path) -> dict[str, _Module]:
    modules: dict[str, _Module] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        path = _path(name, root)
        if (
            name in modules
            or path is None
            or any(name == package or name.startswith(f"{package}.") for package in but)
        ):
            continue
        modules[name] = _read(path)
        waiting += [*_packages(name), *modules[name].imports]
    return modules


def _path(name: str, root: Path) -> Path | None:
    """Return the file of one of our modules; None for what is no module of ours, such as a function."""
    if name.partition(".")[0] not in OURS:
        return None
    place = root.joinpath(*name.split("."))
    return next((path for path in (place / "__init__.py", place.with_suffix(".py")) if path.exists()), None)


def _packages(name: str) -> Iterator[str]:
    """Yield the packages that a module is in: importing it runs theirs first."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


@cache
def _read(path: Path) -> _Module:
    tree = ast.parse(path.read_bytes())
    nodes = list(_run(tree))
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    imports = frozenset(name for node in nodes for name in _imported(node))
    tables = tuple(table for table in _tables(path.parent) if table.name in strings)
    return _Module(path, imports, tables, " ".join(_meaning(tree)))


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only a type checker reads."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        skipped = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        waiting += () if skipped else ast.iter_child_nodes(node)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def _tables(folder: Path) -> tuple[Path, ...]:
    """Files beside a package's modules, and in folders of it that are no packages, which are not code."""
    inner = (
        inside for inside in folder.iterdir() if inside.is_dir() and not (inside / "__init__.py").exists()
    )
    places = (folder, *(inside for inside in inner if inside.name != "__pycache__"))
    return tuple(
        sorted(table for place in places for table in place.iterdir() if table.suffix not in (".py", ""))
    )


def _meaning(node: object) -> Iterator[str]:
    """Yield a syntax tree without places and docstrings.

    What is empty is left out, so that every Python agrees.
    """
    if isinstance(node, list):
        for part in node:
            yield from _meaning(part)
    elif isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if value is None or value == []:
                continue
            yield name
            yield from _meaning(value[1:] if name == "body" and _has_docstring(node) else value)
        yield ")"
    else:
        yield repr(node)


def _has_docstring(node: ast.AST) -> bool:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None


if __name__ == "__main__":
    print(tree_version())  # for `make images`
