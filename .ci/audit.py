"""Audit every lock for known vulnerabilities (`make audit`); without an advisory database it says so.

What we live with, and until when, is in .ci/accepted_findings.yaml.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path

import accepted

ROOT = Path(__file__).resolve().parent.parent
ROLES = ("train", "serve", "api", "platform", "azure", "gcp", "bento", "dask", "airflow", "seldon", "dev")


def audit(role: str, ignored: frozenset[str]) -> list[str]:
    """Audit one lock; return a line for each finding that is not accepted."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--format=json",
               "--progress-spinner=off", "-r", str(ROOT / "requirements" / f"{role}.txt")]  # fmt: skip
    for known in sorted(ignored - {accepted.ANY}):
        command += ["--ignore-vuln", known]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"{role}: not audited, no advisory database can be reached ({reason})")
        return []
    audited = [package for package in packages if "skip_reason" not in package]
    found = [
        f"{role}: {package['name']} {package['version']}: {each['id']}, fixed in {each['fix_versions']}"
        for package in audited
        for each in package["vulns"]
    ]
    held = accepted.ANY in ignored
    print(f"{role}: {len(packages)} packages, {len(audited)} audited, {len(found)} found{', held' * held}")
    if held and found:
        print("\n".join(found))
    return [] if held else found


if __name__ == "__main__":
    today, findings = datetime.date.today(), accepted.read()
    wrong = accepted.overdue(findings, today)
    for each in ROLES:
        wrong += audit(each, accepted.ids(findings, each, today))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
