"""What is installed is what the folder holds: one version, what requirements/*.in ask for, every room."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from setuptools import Distribution, find_packages
from setuptools.config.pyprojecttoml import apply_configuration

from accidents.__about__ import __version__
from tests.conftest import ROOT


@cache
def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Distribution:
    """The project as an installer sees it, with what pyproject.toml reads from other files."""
    monkeypatch.chdir(ROOT)
    return apply_configuration(Distribution(), "pyproject.toml")


def asked(role: str) -> list[str]:
    content = (ROOT / f"requirements/{role}.in").read_text(encoding="utf-8")
    lines = (line.partition("#")[0].strip() for line in content.splitlines())
    return [str(Requirement(line)) for line in lines if line]


def test_there_is_one_version(project: Distribution) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == project.metadata.version == __version__


def test_an_installation_asks_for_what_the_locks_are_made_of(project: Distribution) -> None:
    assert [str(Requirement(line)) for line in project.install_requires] == asked("uv") + asked("train")
    extras = {
        role: [str(Requirement(line)) for line in lines] for role, lines in project.extras_require.items()
    }
    roles = ("api", "bento", "dask", "platform", "azure", "gcp")
    order = ("api", "bento", "platform", "azure", "gcp", "dask", "dev")
    everything = [line for role in order for line in asked(role)]
    assert extras == {**{role: asked(role) for role in roles}, "dev": everything}


def test_every_room_is_installed_typed_and_held_to_the_import_rules() -> None:
    tools = settings()["tool"]
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    installed = set(find_packages(str(ROOT), include=tools["setuptools"]["packages"]["find"]["include"]))
    assert {one for one in installed if "." not in one} == rooms
    assert installed == {
        ".".join(path.parent.relative_to(ROOT).parts)
        for room in rooms
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert set(tools["mypy"]["files"]) == rooms - {"benchmarks"} | {"run.py"}
    assert set(tools["importlinter"]["root_packages"]) == rooms - {"benchmarks", "documentation", "examples"}
    assert set(tools["ruff"]["lint"]["isort"]["known-first-party"]) == rooms | {"tests"}


NO_NOUNS = {"one", "found", "told", "said"}
PUBLISHED = {("accidents/promotion/gates.py", "found")}  # a field of metrics.json's gates


def names_given(file: Path) -> Iterator[str]:
    """Names of variables and parameters."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def test_a_variable_is_called_by_a_noun() -> None:
    rooms = [*settings()["tool"]["mypy"]["files"], ".ci", "dags"]
    files = [file for room in rooms for file in [ROOT / room, *(ROOT / room).rglob("*.py")] if file.is_file()]
    named = {(file.relative_to(ROOT).as_posix(), name) for file in files for name in names_given(file)}
    assert {case for case in named if case[1] in NO_NOUNS} == PUBLISHED
