"""Audit every lock for known vulnerabilities (`make audit`); without an advisory database it says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROLES = ("train", "serve", "api", "platform", "azure", "gcp", "bento", "dev")
# Looked into and found not to apply, each with the reason. Remove one when the package moves on.
IGNORED = {
    # MLServer pins Starlette under 0.47. It parses no forms and serves no files.
    "serve": ("CVE-2025-54121", "CVE-2025-62727"),
}
# Told, and no failure: what seldon-core 1.17.1 pins, the last version under Apache-2.0. It is asked on
# loopback behind our guard, or in a pod by Seldon's operator.
HELD = ("seldon",)


def audit(role: str) -> list[str]:
    """Audit one lock; return a line for each each."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--format=json",
               "--progress-spinner=off", "-r", str(ROOT / "requirements" / f"{role}.txt")]  # fmt: skip
    for known in IGNORED.get(role, ()):
        command += ["--ignore-vuln", known]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"{role}: not audited, no advisory database can be reached ({reason})")
        return []
    audited = [package for package in packages if "skip_reason" not in package]
    known = [
        f"{role}: {package['name']} {package['version']}: {each['id']}, fixed in {each['fix_versions']}"
        for package in audited
        for each in package["vulns"]
    ]
    print(f"{role}: {len(packages)} packages, {len(audited)} audited, {len(known)} known known")
    return known


if __name__ == "__main__":
    vulnerabilities = [line for role in ROLES for line in audit(role)]
    held = [line for role in HELD for line in audit(role)]
    print("\n".join([*vulnerabilities, *held]))
    sys.exit(bool(vulnerabilities))
