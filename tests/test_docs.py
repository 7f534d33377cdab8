"""What the documentation points at is there."""

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.containers import BUDGETS
from tests.conftest import ROOT
from tests.documentation.command_blocks import OTHERS

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "serving" / "web" / "README.md",
]
# What was, and what is made: their links are looked at, not the files that they name.
LINKED = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "references" / "data_dictionary.md"]
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
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
LINK_OUT = re.compile(r"\]\((\w+:[^)]*|//[^)]*|www\.[^)]*)\)")
HOST = re.compile(r"(?:[a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    missing = []
    for link, anchor in links_of(page):
        leads = (page.parent / link) if link else page
        if not leads.exists() or (anchor and leads.suffix == ".md" and anchor not in anchors_of(leads)):
            missing.append(f"{link}#{anchor}")
    assert missing == []


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_elsewhere_are_addresses(page: Path) -> None:
    """Their form only: no test needs the network."""
    assert [link for link in LINK_OUT.findall(page.read_text(encoding="utf-8")) if not is_address(link)] == []


def test_no_page_sends_its_reader_to_figures_that_were_not_measured() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    empty = {heading for heading, _ in re.findall(r"^(## .+)\n\n(Not measured yet)", text, re.MULTILINE)}
    anchors = {anchor for heading in empty for anchor in anchors_in(heading)}
    sent = [(page.name, anchor) for page in LINKED for link, anchor in links_of(page)
            if link.endswith("benchmarks.md") and anchor in anchors]  # fmt: skip
    assert sent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_command_needs_one_of_the_two_composes(page: Path) -> None:
    """`make` takes the one that is there; `docker exec` asks neither."""
    assert re.findall(r"docker[ -]compose +[-\w]+.*", page.read_text(encoding="utf-8")) == []


def test_sizes_of_images_are_on_one_page_alone() -> None:
    """As they were measured, in docs/benchmarks.md; others name the budgets."""
    text = (ROOT / "docs" / "from_laptop_to_platform.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"^\| `road-accidents/([\w-]+)`.*\| (.+) \|$", text, re.M))
    assert named == {name: f"{most:,}" for name, most in {**BUDGETS, "seldon": 600, "airflow": 1_450}.items()}


def test_every_page_of_the_site_is_looked_at() -> None:
    """There a link to what is no page becomes plain text, dead or not: documentation/links.py."""
    assert {ROOT / page for page in OTHERS} <= set(LINKED)


@pytest.mark.parametrize(
    ("link", "right"),
    [
        ("https://docs.zenml.io/stacks#x", True),
        ("https://www.data.gouv.fr/fr/datasets/5369/", True),
        ("http://docs.zenml.io", False),
        ("https//docs.zenml.io", False),
        ("https://docs zenml.io", False),
        ("https://zenml", False),
        ("https://user:word@zenml.io", False),
        ("https://docs.zenml.io/<page>", False),
        ("https://127.0.0.1:8000", False),
    ],
)
def test_an_address_is_told_from_a_slip(link: str, right: bool) -> None:
    assert is_address(link) == right


def links_of(page: Path) -> list[tuple[str, str]]:
    """Path and anchor of each link of a page to a file of the project, or to a place of its own."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [(link, anchor) for link, anchor in LINK.findall(text) if not re.match(r"\w+:", link)]


def anchors_of(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them. The site's own are checked by `make docs`."""
    return anchors_in(page.read_text(encoding="utf-8"))


def anchors_in(text: str) -> set[str]:
    headings = HEADING.findall(text)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading)) for heading in plain}


def is_address(link: str) -> bool:
    """Whether a link out of the project could lead to the public web: https, a host, no stray character."""
    if re.search(r"[\s<>\"{}|\\^`]", link):
        return False
    parts = urlsplit(link)
    return parts.scheme == "https" and bool(HOST.fullmatch(parts.netloc))


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
