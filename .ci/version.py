"""Write the next version wherever it is named: `make version V=0.8.0`.

    .ci/version.py VERSION

In CHANGELOG.md it becomes the newest heading. Python alone is enough.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NUMBER = r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
# Each file, what stands around the number in it, and how often.
NAMED = {
    "accidents/__about__.py": (rf'(^__version__ = "){NUMBER}("$)', 1),
    "CITATION.cff": (rf"(^version: ){NUMBER}($)", 1),
    "kubernetes/components/release/kustomization.yaml": (rf"(newTag: ){NUMBER}(\}}$)", 2),
}
CHANGELOG = "CHANGELOG.md"


def following(version: str) -> tuple[str, str, str]:
    """Return the versions that may come next: what is mended, what is added, what breaks."""
    first, second, third = map(int, version.split("."))
    return f"{first}.{second}.{third + 1}", f"{first}.{second + 1}.0", f"{first + 1}.0.0"


def written(version: str, root: Path) -> dict[Path, str]:
    """Return each file with the version in it. Raises ValueError: it is not the next, or a file is other."""
    about = (root / "accidents/__about__.py").read_text(encoding="utf-8")
    now = re.search(rf'^__version__ = "({NUMBER})"$', about, re.M)
    if now is None:
        raise ValueError("accidents/__about__.py does not say which version this is.")
    if version not in following(now[1]):
        raise ValueError(
            f"After {now[1]} comes one of {', '.join(following(now[1]))}, and not {version or 'nothing'}: "
            "docs/releasing.md says which. make version V=..."
        )
    texts = {}
    for file, (around, often) in NAMED.items():
        text = (root / file).read_text(encoding="utf-8")
        texts[root / file], count = re.subn(around, rf"\g<1>{version}\g<5>", text, flags=re.M)
        if count != often:
            raise ValueError(f"{file} names a version {count} times, and not {often}: see .ci/version.py.")
    changes = (root / CHANGELOG).read_text(encoding="utf-8")
    texts[root / CHANGELOG] = re.sub(r"^## ", f"## {version}\n\n## ", changes, count=1, flags=re.M)
    return texts


def main(words: list[str]) -> int:
    """Do it, in all files or in none; 1 with what is wrong."""
    if len(words) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        texts = written(words[0], ROOT)
    except (ValueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    for file, text in texts.items():
        file.write_text(text, encoding="utf-8")
        print(file.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
