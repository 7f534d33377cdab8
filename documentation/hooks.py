"""What MkDocs asks while it builds the site (mkdocs.yml names this file)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from documentation.generated import DECISIONS, generated_pages
from documentation.links import Links
from documentation.offline import loaded_from_elsewhere
from documentation.python_api import python_api_pages

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
# Files outside of docs/ that are pages, too.
ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "references/data_dictionary.md": "reference/data_dictionary.md",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision and every room into the navigation, where it says `Decisions` and `Python API`."""
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    _fill(config.nav or [], "Decisions", [DECISIONS, *(f"decisions/{page.name}" for page in pages)])
    _fill(config.nav or [], "Python API", list(python_api_pages()))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file of docs/ holds."""
    for path, page in ELSEWHERE.items():
        _add(files, config, page, (ROOT / path).read_text(encoding="utf-8"))
    for page, content in generated_pages(ROOT).items():
        _add(files, config, page, content)
    icon: Any = File.generated(config, "icon.svg", abs_src_path=str(ROOT / "serving" / "web" / "icon.svg"))
    files.append(icon)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to pages of the site, and to the repository's own where there is none."""
    pages = {f"docs/{file.src_uri}": file.src_uri for file in files} | ELSEWHERE
    pages["docs/decisions"] = DECISIONS
    source = {page: path for path, page in ELSEWHERE.items()}.get(
        page.file.src_uri, f"docs/{page.file.src_uri}"
    )
    return Links(pages, repository(config)).rewrite(markdown, source)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Say which language a page is in, where it is not the site's (`lang:` on top of the page)."""
    language = page.meta.get("lang")
    return re.sub(r'<html lang="\w+"', f'<html lang="{language}"', output, count=1) if language else output


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that needs the network. Raises PluginError, which names what it would load."""
    loads = loaded_from_elsewhere(Path(config.site_dir))
    if loads and config.strict:
        raise PluginError("The site must work offline, but loads: " + "; ".join(loads))


def repository(config: MkDocsConfig) -> str:
    """Where the files of this commit are seen, "" where that is not known."""
    address = str(config.extra["repository"]).rstrip("/")
    return f"{address}/blob/{os.environ.get('GITHUB_SHA', 'main')}" if address else ""


def _fill(nav: list[dict[str, Any]], title: str, pages: list[str]) -> None:
    """Give the section of this title, wherever it stands in the navigation, its pages."""
    for name, entry in ((name, entry) for entries in nav for name, entry in entries.items()):
        if name == title:
            entry += pages
        elif isinstance(entry, list):
            _fill([child for child in entry if isinstance(child, dict)], title, pages)


def _add(files: Files, config: MkDocsConfig, page: str, content: str) -> None:
    generated: Any = File.generated(config, page, content=content)
    files.append(generated)
