"""Who may import whom, and that importing does nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.conftest import ROOT


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([command, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_the_rooms_import_only_what_they_may() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert f"Contracts: {len(rules)} kept, 0 broken" in done.stdout


def test_a_forbidden_import_is_found(tmp_path: Path) -> None:
    """The rules bite: the same settings over a domain that imports ZenML do not pass."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    rules = tomllib.loads((tmp_path / "pyproject.toml").read_text())["tool"]["importlinter"]
    packages = set(rules["root_packages"])
    for rule in rules["contracts"]:
        packages |= {f"{room}.{name}" for room in rule.get("containers", ()) for layer in rule["layers"]
                     for name in re.findall(r"\w+", layer)}  # fmt: skip
        modules = (*rule.get("source_modules", ()), *rule.get("forbidden_modules", ()))
        packages |= {name for name in modules if name.partition(".")[0] in rules["root_packages"]}
    for package in sorted(packages):
        folder = tmp_path / package.replace(".", "/")
        folder.mkdir()
        (folder / "__init__.py").touch()
    assert lint_imports(tmp_path).returncode == 0
    (tmp_path / "accidents" / "training" / "trained_model.py").write_text("def train():\n    import zenml\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert "accidents.training.trained_model -> zenml" in done.stdout
