"""What the documentation points at is there."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "serving" / "web" / "README.md",
]
ROOMS = (
    "accidents|commands|engine|steps|pipelines|stacks|serving|observability|benchmarks|compose|dags|"
    "documentation|docs|examples|notebooks|configs|kubernetes|references|requirements|tests"
)
NAMED = re.compile(rf"(?<![\w/.{{}}-])((?:{ROOMS})/[\w./*-]*\.\w+|\.ci/[\w./*-]*\w)\b")
PLACEHOLDER = re.compile("NAME|NNNN|PIPELINE")
TRACKED = subprocess.run(
    ["git", "ls-files", "*.py", "*.yaml", "*.toml", "Makefile", ":!tests", ":!benchmarks"],
    cwd=ROOT, capture_output=True, text=True, check=True,
).stdout.split()  # fmt: skip
WEB = {"docs/static/swagger-ui.css", "docs/static/swagger-ui-bundle.js", "docs/start.js"}  # addresses
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = [found[1] for found in LINK.finditer(page.read_text(encoding="utf-8"))]
    here = [link for link in links if "://" not in link]
    assert [link for link in here if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("file", [*TRACKED, *(page.relative_to(ROOT) for page in PAGES)], ids=str)
def test_files_that_pages_comments_and_messages_name_are_there(file: str) -> None:
    named = {found[1] for found in NAMED.finditer((ROOT / file).read_text(encoding="utf-8"))}
    here = {name for name in named if "*" not in name and not PLACEHOLDER.search(name)}
    assert {name for name in here if not (ROOT / name).exists()} - WEB == set()


def test_every_folder_of_the_project_may_be_named() -> None:
    """A new one is looked for, too; data/ and reports/ are made by runs."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {name.partition("/")[0] for name in files.splitlines() if "/" in name and name[0] != "."}
    assert folders - {"data", "reports"} == set(ROOMS.split("|"))


def test_make_targets_that_the_readme_names_exist() -> None:
    named = set(re.findall(r"`?make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    helped = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert named
    assert named - {line.split()[0] for line in helped.splitlines() if line} == set()
