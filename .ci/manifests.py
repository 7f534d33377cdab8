"""What a branch changes in what kubernetes/ renders: every overlay of two commits, compared in Markdown.

.ci/manifests.py BASE HEAD FILE
"""

from __future__ import annotations

import difflib
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "kubernetes"
KUBECTL = str(Path(sys.executable).with_name("kubectl"))
FENCE = "`" * 6  # dashboards may have shorter ones


def rendered(commit: str) -> dict[str, str]:
    """Return what each overlay of a commit makes, by its name; end the program where one makes nothing."""
    with tempfile.TemporaryDirectory() as place:
        if _run("git", "ls-tree", commit, FOLDER):
            with tarfile.open(fileobj=BytesIO(_run("git", "archive", commit, FOLDER))) as files:
                files.extractall(place, filter="data")
        overlays = sorted(Path(place, FOLDER, "overlays").glob("*/kustomization.yaml"))
        return {file.parent.name: _run(KUBECTL, "kustomize", str(file.parent)).decode() for file in overlays}


def section(overlay: str, before: str, after: str) -> str:
    """Return what changes in one overlay."""
    lines = list(
        difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="")
    )
    if not lines:
        return f"Overlay `{overlay}`: nothing changes.\n"
    added, removed = (sum(line.startswith(sign) for line in lines[2:]) for sign in "+-")
    title = f"Overlay <code>{overlay}</code>: {added} lines added, {removed} removed"
    body = "\n".join(lines)
    return f"<details><summary>{title}</summary>\n\n{FENCE}diff\n{body}\n{FENCE}\n\n</details>\n"


def main(words: list[str]) -> None:
    """Write the file."""
    if len(words) != 3:
        raise SystemExit("usage: .ci/manifests.py BASE HEAD FILE")
    base, head = (_commit(word) for word in words[:2])
    before, after = rendered(base), rendered(head)
    text = f"## Manifests: `{words[0]}` ({base[:7]}) to `{words[1]}` ({head[:7]})\n\n"
    text += "\n".join(
        section(each, before.get(each, ""), after.get(each, "")) for each in sorted({*before, *after})
    )
    file = Path(words[2])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    print(f"Written: {file}")


def _commit(revision: str) -> str:
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"Error: git knows no revision {revision!r} here. A branch of elsewhere is fetched first (git "
            "fetch origin main), a shallow clone completed (--unshallow)."
        )
    return done.stdout.strip()


def _run(*words: str) -> bytes:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"Error: {' '.join(words)} ended with {done.returncode}: {done.stderr.decode()}")
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
