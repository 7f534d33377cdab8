"""Audit every lock for known vulnerabilities (`make audit`).

    .ci/audit.py [--required]

Where no advisory database can be reached it says so, and fails only where the audit is required: in GitHub's
workflows (another CI need not have a way out). What else goes wrong fails.

What we live with, and until when, is in .ci/accepted_findings.yaml.
"""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from pathlib import Path

import accepted

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = "--required" in sys.argv[1:]
SECONDS = 600  # for a lock
# What pip-audit says, or dies of, where it reaches nobody.
UNREACHED = re.compile(
    r"Could not connect to|is not redirecting properly"
    r"|requests\.exceptions\.(\w*ConnectionError|ProxyError|SSLError|\w*Timeout)"
)


def audit(role: str, ignored: frozenset[str]) -> list[str]:
    """Audit one lock; return a line for each finding that is not accepted."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--format=json",
               "--progress-spinner=off", "-r", str(ROOT / "requirements" / f"{role}.txt")]  # fmt: skip
    for known in sorted(ignored - {accepted.ANY}):
        command += ["--ignore-vuln", known]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return [f"{role}: not audited, pip-audit took more than {SECONDS} s"]
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        if UNREACHED.search(done.stderr):
            return _unreached(role, reason)
        return [f"{role}: not audited, pip-audit ended with {done.returncode}: {reason}"]
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        return _unreached(role, "it knows none of the packages")
    known = [
        f"{role}: {package['name']} {package['version']}: {each['id']}, fixed in {each['fix_versions']}"
        for package in audited
        for each in package["vulns"]
    ]
    held = accepted.ANY in ignored
    print(f"{role}: {len(packages)} packages, {len(audited)} audited, {len(known)} found{', held' * held}")
    if held and known:
        print("\n".join(known))
    return [] if held else known


def _unreached(role: str, reason: str) -> list[str]:
    """Tell that a lock was not audited: a fault only where the audit is required."""
    message = f"{role}: not audited, no advisory database can be reached ({reason})"
    if REQUIRED:
        return [message]
    print(message)
    return []


if __name__ == "__main__":
    today, findings = datetime.date.today(), accepted.read()
    wrong = accepted.overdue(findings, today)
    for each in sorted(lock.stem for lock in (ROOT / "requirements").glob("*.txt")):
        wrong += audit(each, accepted.ids(findings, each, today))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
