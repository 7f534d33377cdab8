"""`make docs` fails where a page cannot be reached, or a link leads nowhere.

What it runs is taken from the Makefile, and what it warns of from mkdocs.yml: `--quiet` in the one, or a
lower level in the other, makes a build that nothing can fail.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

pytest.importorskip("mkdocs", reason="MkDocs is not installed: make docs")

HOME = "# Home\n\n[a part](other.md#a-part)\n"
OTHER = "# Other\n\n## A part\n"


def build(folder: Path, pages: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Build a small site as `make docs` builds the whole one."""
    for name, text in pages.items():
        (folder / "docs" / name).parent.mkdir(exist_ok=True)
        (folder / "docs" / name).write_text(text)
    whole = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader=_Plain)
    small = {key: whole[key] for key in ("site_name", "validation")}
    small["nav"] = [{"Home": "index.md"}, {"Other": "other.md"}]
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(small))
    recipe = subprocess.run(
        ["make", "-n", "docs"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    (command,) = [line for line in recipe.splitlines() if "-m mkdocs build" in line]
    _, _, rest = command.partition(" -m ")
    return subprocess.run(
        [sys.executable, "-m", *shlex.split(rest)], cwd=folder, capture_output=True, text=True, check=False
    )


class _Plain(yaml.SafeLoader):
    """Reads mkdocs.yml without what its tags stand for, such as `!ENV`."""


_Plain.add_multi_constructor("!", lambda *_: None)


def test_a_sound_site_is_built(tmp_path: Path) -> None:
    built = build(tmp_path, {"index.md": HOME, "other.md": OTHER})
    assert built.returncode == 0, built.stderr


def test_every_fault_is_told_and_fails_the_build(tmp_path: Path) -> None:
    links = ["[dead](gone.md)", "[absolute](/other.md)", "[no file's name](other)"]
    built = build(
        tmp_path, {"index.md": "\n\n".join([HOME, *links]), "other.md": "# Other\n", "lost.md": "# Lost\n"}
    )
    faults = ["- lost.md", "'gone.md'", "'/other.md'", "link 'other'", "'#a-part'"]
    assert [fault for fault in faults if fault not in built.stderr] == []
    assert built.returncode != 0
    assert f"Aborted with {len(faults)} warnings in strict mode" in built.stdout
