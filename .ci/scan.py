"""Scan our images for known vulnerabilities (`make scan`) with Trivy, in a container of its own.

    .ci/scan.py TAG [IMAGE ...]

It reads an image from a file: a way to the engine would make it this machine's root. What we live with, and
until when, is in .ci/accepted_findings.yaml. Only what has a remedy (a fixed version) fails.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import accepted
from release_images import IMAGES

SCANNER = os.environ.get("SCANNER", "aquasec/trivy:0.74.0")
FOUND = 10  # its exit code where it found something; 1 is that of a scanner that could not scan
OPTIONS = (
    "--exit-code",
    str(FOUND),
    "--severity",
    "HIGH,CRITICAL",
    "--ignore-unfixed",
    "--scanners",
    "vuln",
    "--quiet",
)


def scan(image: str, tag: str, ignored: frozenset[str]) -> bool:
    """Whether an image has nothing but what is accepted."""
    held = accepted.ANY in ignored
    with tempfile.TemporaryDirectory(prefix="scan-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        subprocess.run(
            ["docker", "save", "--output", place / "image.tar", f"road-accidents/{image}:{tag}"], check=True
        )
        (place / "image.tar").chmod(0o644)
        (place / "ignored").write_text("".join(f"{each}\n" for each in sorted(ignored - {accepted.ANY})))
        done = subprocess.run(
            ["docker", "run", "--rm", "--cap-drop", "ALL", "--volume", f"{place}:/scan:ro", SCANNER, "image",
             *OPTIONS, "--ignorefile", "/scan/ignored", "--input", "/scan/image.tar"], check=False,
        )  # fmt: skip
    if done.returncode not in (0, FOUND):
        raise SystemExit(f"{image}: not scanned: {SCANNER} ended with {done.returncode}.")
    print(
        f"{image}: {'nothing found' if not done.returncode else 'found, and held' if held else 'found'}",
        flush=True,
    )
    return held or not done.returncode


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    today, findings = datetime.date.today(), accepted.read()
    late = accepted.overdue(findings, today)
    print("\n".join(late))
    well = [
        scan(each, sys.argv[1], accepted.ids(findings, f"image:{each}", today))
        for each in sys.argv[2:] or IMAGES
    ]
    sys.exit(bool(late) or not all(well))
