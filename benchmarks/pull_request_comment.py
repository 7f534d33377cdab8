"""Our one comment on a pull request: made the first time, put in place of the last one from then on.

    python -m benchmarks.pull_request_comment FILE NUMBER

asks GitHub's REST API (GITHUB_API_URL) about the repository GITHUB_REPOSITORY with the token GITHUB_TOKEN. It
imports nothing that is to be installed: the job that holds the token runs nothing of the branch.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accidents.errors import AccidentsError, SettingsError

MARKER = "<!-- road-accidents: model report -->"
LONGEST = 65_536  # characters that GitHub takes
USAGE = "usage: python -m benchmarks.pull_request_comment FILE NUMBER"
SECONDS = 30


class GitHubError(AccidentsError):
    """GitHub did not take a request; the message says which, and what may be wrong."""


@dataclass(frozen=True)
class PullRequest:
    """A pull request, and the right to write to it.

    Attributes
    ----------
    api : address of the REST API.
    repository : OWNER/NAME.
    """

    api: str
    repository: str
    number: int
    token: str = field(repr=False)

    def comment(self, text: str) -> str:
        """Make our comment say `text`, which begins with the marker; returns its address."""
        if not text.startswith(MARKER):
            raise SettingsError(f"This is no model report: it does not begin with {MARKER}")
        body = {"body": text if len(text) <= LONGEST else _shortened(text)}
        ours = next((each for each in self._comments() if str(each["body"]).startswith(MARKER)), None)
        if ours is None:
            written, _ = self._ask("POST", f"/issues/{self.number}/comments", body)
        else:
            written, _ = self._ask("PATCH", f"/issues/comments/{ours['id']}", body)
        return str(written["html_url"])

    def _comments(self) -> Iterator[dict[str, Any]]:
        page: str | None = f"/issues/{self.number}/comments?per_page=100"
        while page:
            comments, page = self._ask("GET", page)
            yield from comments

    def _ask(self, method: str, where: str, body: Any = None) -> tuple[Any, str | None]:
        """Return what the API answers, and where the next page is."""
        begin = f"{self.api.rstrip('/')}/repos/{self.repository}"
        request = urllib.request.Request(
            begin + where,
            None if body is None else json.dumps(body).encode(),
            {
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                after = re.search(r'<([^>]*)>; *rel="next"', answer.headers.get("Link", ""))
                # Only of the same repository: the token goes nowhere else.
                page = after[1].removeprefix(begin) if after and after[1].startswith(begin + "/") else None
                return json.load(answer), page
        except urllib.error.HTTPError as error:
            raise GitHubError(self._refused(method, where, error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise GitHubError(f"GitHub's API at {self.api} does not answer: {error}.") from error

    def _refused(self, method: str, where: str, error: urllib.error.HTTPError) -> str:
        refusal = f"GitHub refuses {method} {self.repository}{where}: {error.code} {error.reason}."
        remedy = {
            401: " GITHUB_TOKEN is not valid, or no longer.",
            403: " The token may not write there: the job needs `pull-requests: write`, which a pull request "
            "from a fork never has.",
            404: f" Is there a pull request {self.number}, and may the token read the repository?",
        }
        return refusal + remedy.get(error.code, "")


def pull_request(number: str, environment: Mapping[str, str]) -> PullRequest:
    """Return the pull request of this number, by what GitHub's runner sets.

    Raises
    ------
    SettingsError
        The number is none, or something is not set.
    """
    if not number.isdecimal():
        raise SettingsError(f"The number of a pull request is one like 12, not {number!r}.")
    missing = [name for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN") if not environment.get(name)]
    if missing:
        raise SettingsError(
            f"To write a comment, set {' and '.join(missing)}: OWNER/NAME, and a token that may write to "
            "pull requests."
        )
    api = environment.get("GITHUB_API_URL") or "https://api.github.com"
    return PullRequest(api, environment["GITHUB_REPOSITORY"], int(number), environment["GITHUB_TOKEN"])


def _shortened(text: str) -> str:
    """Without what is folded away, and cut if it is still too long."""
    short = re.sub(
        r"<details>.*?</details>", "*Left out: the comment would be too long.*", text, flags=re.DOTALL
    )
    return short[:LONGEST]


def main(words: list[str]) -> int:
    """Write the comment; 1 if it cannot be."""
    if len(words) != 2:
        print(USAGE, file=sys.stderr)
        return 2
    file, number = words
    try:
        print(pull_request(number, os.environ).comment(Path(file).read_text(encoding="utf-8")))
    except (AccidentsError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
