"""The blocks of commands of a page, each with the mark that says whether a test runs it.

<!-- run -->                              every line of it is run
<!-- run, except: git clone (why); make test (why) -->  but those that begin so, which cannot be run there
<!-- not run: why -->
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = (
    r"amtool|curl|docker|dvc|export|git|helm|kubectl|make|pip|python|uv|xdg-open|zenml|"
    r"\.venv/bin/\w+|[A-Z_]+=\S*"
)
_BLOCK = re.compile(
    r"^(?: *(?P<mark><!--(?:(?!-->).)*-->\n))?"
    r"(?P<blanks> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=blanks)```$",
    re.M | re.S,
)
_COMMAND = re.compile(rf"^ *(?:{PROGRAMS})\b", re.M)
_RUN = re.compile(r"<!-- run(?:, except: (.+))? -->\n", re.S)
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->\n", re.S)
_EXCEPTED = re.compile(r"([^(;]+?) \(([^)]+)\)")
# Pages of the site outside of docs/ (documentation/hooks.py), and one that GitHub shows.
OTHERS = ("CONTRIBUTING.md", "CHANGELOG.md", "references/data_dictionary.md", "serving/web/README.md")


@dataclass(frozen=True)
class Block:
    """One block: where it stands, its mark, and its commands, without what is said behind them."""

    page: str
    line: int
    mark: str
    commands: tuple[str, ...]

    @property
    def is_marked(self) -> bool:
        """Whether it is said what becomes of it, and why if it is not run."""
        if found := _RUN.fullmatch(self.mark):
            return not _EXCEPTED.sub("", found[1] or "").strip("; \n")
        return bool(_NOT_RUN.fullmatch(self.mark))

    @property
    def excepted(self) -> tuple[str, ...]:
        """How the commands begin that are left out of a block that is run."""
        found = _RUN.fullmatch(self.mark)
        return tuple(start.strip() for start, _ in _EXCEPTED.findall(found[1])) if found and found[1] else ()

    @property
    def run(self) -> tuple[str, ...]:
        """What is run of it."""
        if not _RUN.fullmatch(self.mark):
            return ()
        return tuple(line for line in self.commands if not line.startswith(self.excepted or ("\0",)))


def blocks_of(text: str, page: str) -> list[Block]:
    """Every block of a page that has a command in it."""
    return [
        Block(page, text[: found.start()].count("\n") + 1, found["mark"] or "", _commands(found["text"]))
        for found in _BLOCK.finditer(text)
        if found["language"] in {"", "bash", "sh", "console"} and _COMMAND.search(found["text"])
    ]


def blocks_in(root: Path) -> list[Block]:
    """Every block of the site's pages, in the order in which a newcomer reads them."""
    first = ("README.md", "docs/get_started.md", "docs/serving.md")
    others = sorted(path.relative_to(root).as_posix() for path in (root / "docs").rglob("*.md"))
    pages = [*first, *(page for page in others if page not in first), *OTHERS]
    return [block for page in pages for block in blocks_of((root / page).read_text(encoding="utf-8"), page)]


def _commands(text: str) -> tuple[str, ...]:
    lines = text.replace("\\\n", " ").splitlines()
    bare = (re.sub(r"(?:^|\s+)#.*", "", line).strip() for line in lines)
    return tuple(" ".join(line.split()) for line in bare if line)
