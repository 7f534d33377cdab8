"""Who may import whom, and that importing does nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

# Imports that a contract must find, deferred, which counts, each by itself: {file: what it imports}.
PLANTED: dict[str, dict[str, str] | list[dict[str, str]]] = {
    "accidents is plain Python": {"accidents/training/model.py": "zenml"},
    "commands use pipelines": {"pipelines/runs.py": "commands"},
    "the engine is Dask and the domain": {"engine/tasks.py": "zenml"},
    "stack components know nothing of accidents": {"stacks/components/server.py": "accidents.training"},
    "commands know endpoints": {"commands/api.py": "stacks.components"},
    "stacks know nothing of what runs on them": [
        {"stacks/apply.py": "serving"},
        {"stacks/apply.py": "engine"},
        {"stacks/apply.py": "observability"},
    ],
    "steps and pipelines run on any stack": {"steps/train_model.py": "stacks"},
    "observability is files": [{"observability/rules.py": "stacks"}, {"observability/rules.py": "engine"}],
    "the API asks a model server": {"serving/api/app.py": "accidents.bundle"},
    "serving knows the bundle and the features": [
        {"serving/runtime.py": "sklearn"},
        {"serving/runtime.py": "engine"},
        {"serving/runtime.py": "observability"},
    ],
    "the rooms of the domain stand on each other one way": {
        "accidents/features/build.py": "accidents.training"
    },
    "no circles": [
        {"commands/loop.py": "commands.monitor", "commands/monitor.py": "commands.loop"},
        {
            "accidents/geography/boxes.py": "accidents.vocabulary",
            "accidents/vocabulary/words.py": "accidents.geography",
        },
        {"accidents/data/tables.py": "accidents.data.b", "accidents/data/b.py": "accidents.data.tables"},
    ],
}


def contracts() -> list[dict[str, Any]]:
    return list(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"])


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    wide = os.environ | {"COLUMNS": "300"}  # a contract and its verdict on one line
    return subprocess.run(
        [command, "--no-cache"], cwd=folder, env=wide, capture_output=True, text=True, check=False
    )


def test_the_rooms_import_only_what_they_may() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Contracts: {len(contracts())} kept, 0 broken" in done.stdout


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """A tree of the packages that the contracts name, with nothing in them, and the contracts."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    roots = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    packages = set(roots)
    for rule in contracts():
        packages |= {f"{room}.{name}" for room in rule.get("containers", ()) for layer in rule["layers"]
                     for name in re.findall(r"\w+", layer)}  # fmt: skip
        modules = (
            name for key in ("source_modules", "forbidden_modules", "ancestors") for name in rule.get(key, ())
        )
        packages |= {name.replace("*", "any") for name in modules if name.partition(".")[0] in roots}
    for package in sorted(packages):
        folder = tmp_path / package.replace(".", "/")
        folder.mkdir()
        (folder / "__init__.py").touch()
    return tmp_path


def test_without_a_forbidden_import_every_contract_is_kept(rooms: Path) -> None:
    done = lint_imports(rooms)
    assert done.returncode == 0, done.stdout + done.stderr


def planted() -> list[Any]:
    """Each contract with each of the imports that it must find."""
    cases = []
    for contract in contracts():
        (rule,) = (PLANTED[name] for name in PLANTED if contract["name"].startswith(name))
        beginning = contract["name"].partition(":")[0]
        for imports in rule if isinstance(rule, list) else [rule]:
            cases.append(pytest.param(contract, imports, id=f"{beginning}: {', '.join(imports.values())}"))
    return cases


@pytest.mark.parametrize(("contract", "imports"), planted())
def test_every_contract_bites(contract: dict[str, Any], imports: dict[str, str], rooms: Path) -> None:
    for file, imported in imports.items():
        (rooms / file).write_text(f"def use() -> None:\n    import {imported}\n")
    done = lint_imports(rooms)
    assert done.returncode == 1
    assert f"{contract['name']} BROKEN" in done.stdout
    assert f"Contracts: {len(contracts()) - 1} kept, 1 broken" in done.stdout
