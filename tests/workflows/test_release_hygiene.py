"""One version everywhere; findings that are accepted until a day; locks that come as a pull request."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from accidents.__about__ import __version__
from tests.conftest import ROOT
from tests.workflows import jobs
from tests.workflows.clone import edit, git


def test_everything_that_names_the_version_names_the_one_of_about() -> None:
    """pyproject.toml and the API read it; CHANGELOG.md is held to it by tests/test_project.py."""
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == __version__
    named = {
        f"{file.relative_to(ROOT)}: {image['name']}": image["newTag"]
        for file in (ROOT / "kubernetes").rglob("kustomization.yaml")
        for image in yaml.safe_load(file.read_text(encoding="utf-8")).get("images", ())
        if "newTag" in image
    }
    assert named
    assert {where: tag for where, tag in named.items() if tag != __version__} == {}
    told = subprocess.run(
        ["make", "-n", "images"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert f"--tag road-accidents/api:{__version__} " in told
    assert f"VERSION={__version__} " in told


PLACES = ("accidents/__about__.py", "CITATION.cff", "kubernetes/components/release/kustomization.yaml",
          "CHANGELOG.md")  # fmt: skip


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """What names the version, and what writes it."""
    for name in ("Makefile", "stacks/cache_folder.py", ".ci/version.py", *PLACES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def raised(named: Path, version: str) -> subprocess.CompletedProcess[str]:
    words = ["make", "version", f"V={version}"]
    return subprocess.run(words, cwd=named, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["mended", "added", "broken"])
def test_the_next_version_is_written_by_one_command_wherever_it_is_named(named: Path, which: int) -> None:
    numbers = [int(number) for number in __version__.split(".")]
    kept = 2 - which
    version = ".".join(map(str, [*numbers[:kept], numbers[kept] + 1, 0, 0][:3]))
    before = {name: (named / name).read_text(encoding="utf-8") for name in PLACES}
    assert raised(named, version).returncode == 0
    after = {name: (named / name).read_text(encoding="utf-8") for name in PLACES}
    for name in PLACES[:3]:
        assert after[name] == before[name].replace(__version__, version) != before[name]
    assert after["CHANGELOG.md"].replace(f"## {version}\n\n", "", 1) == before["CHANGELOG.md"]
    assert re.findall(r"^## (\S+)", after["CHANGELOG.md"], re.M)[:2] == [version, __version__]


@pytest.mark.parametrize("version", ["", __version__, "0.0.1", "v99.0.0", "99.0.0", "1.0"])
def test_a_version_that_does_not_come_next_is_written_nowhere(named: Path, version: str) -> None:
    before = [(named / name).read_bytes() for name in PLACES]
    done = raised(named, version)
    assert done.returncode
    assert f"After {__version__} comes one of" in done.stderr
    assert [(named / name).read_bytes() for name in PLACES] == before


def test_a_place_that_names_it_otherwise_is_told_and_nothing_is_written(named: Path) -> None:
    edit(named, "CITATION.cff", (f"version: {__version__}", f"version: '{__version__}'"))
    before = [(named / name).read_bytes() for name in PLACES]
    first, second, _ = __version__.split(".")
    assert "CITATION.cff names a version 0 times" in raised(named, f"{first}.{int(second) + 1}.0").stderr
    assert [(named / name).read_bytes() for name in PLACES] == before


def test_no_page_has_to_be_edited_for_a_release() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = re.compile(rf"(?:\bv|[:\"]){re.escape(__version__)}\b")  # a tag of git or of an image
    assert [page.name for page in pages if named.search(page.read_text(encoding="utf-8"))] == []


def test_citation_and_dependabot_are_what_their_readers_take() -> None:
    check = str(Path(sys.executable).with_name("check-jsonschema"))
    for schema, file in (("citation-file-format", "CITATION.cff"), ("dependabot", ".github/dependabot.yml")):
        subprocess.run([check, "--builtin-schema", f"vendor.{schema}", ROOT / file], check=True)


def test_every_dockerfile_and_lock_is_looked_after() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    folders: dict[str, set[str]] = {}
    for update in updates:
        there = update.get("directories", [update.get("directory")])
        folders.setdefault(update["package-ecosystem"], set()).update(there)
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    ours = [Path(file) for file in files if not file.startswith("tests/")]
    where = {
        "/" if file.parent == Path() else f"/{file.parent}" for file in ours if file.name == "Dockerfile"
    }
    assert folders["docker"] == where
    assert folders["pip"] == {
        f"/{file.parent}" for file in ours if re.search(r"requirements/.*\.txt$", str(file))
    }
    assert {"github-actions", "docker-compose"} <= set(folders)


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """The audit in a project of its own without locks to ask anybody about."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    return tmp_path


def audited(folder: Path, findings: str | None = None, *options: str) -> subprocess.CompletedProcess[str]:
    """The audit, with whatever stands in for pip-audit in the folder."""
    if findings is not None:
        (folder / ".ci" / "accepted_findings.yaml").write_text(findings)
    words = [sys.executable, folder / ".ci" / "audit.py", *options]
    environment = {**os.environ, "PYTHONPATH": str(folder), "CI": "true"}
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)


def finding(days: int) -> str:
    until = datetime.date.today() + datetime.timedelta(days=days)
    return f"- {{id: CVE-1, in: [train], until: {until}, why: A reason that says something.}}"


def test_what_is_accepted_today_passes(audit: Path) -> None:
    assert audited(audit).returncode == 0
    assert audited(audit, finding(0)).returncode == 0


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        (finding(-1), "CVE-1 in train: accepted until"),
        (finding(-1), "which has passed"),
        (finding(400), "is over a year away"),
        ("- {id: CVE-1, in: [train], why: A reason that says something.}", "until"),
        ("- {id: CVE-1, in: [train], until: 2027-01-01, why: so}", "why"),
        ("- {id: CVE-1, in: [], until: 2027-01-01, why: A reason that says something.}", "in"),
    ],
)
def test_what_is_accepted_no_longer_or_for_no_reason_fails(audit: Path, findings: str, said: str) -> None:
    done = audited(audit, findings)
    assert done.returncode == 1
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


UNREACHED = "requests.exceptions.ProxyError: Max retries exceeded"
SKIPPED = '{"dependencies": [{"name": "a", "skip_reason": "not found"}], "fixes": []}'


@pytest.mark.parametrize(
    ("out", "err", "code", "options", "fails"),
    [
        ("", "usage: pip-audit [-h]", 2, [], True),
        ("", UNREACHED, 1, [], False),
        ("", UNREACHED, 1, ["--required"], True),
        (SKIPPED, "", 0, [], False),
        (SKIPPED, "", 0, ["--required"], True),
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', "", 0, ["--required"], False),
    ],
    ids=[
        "fails",
        "unreached",
        "unreached where required",
        "knows nothing",
        "knows nothing where required",
        "audits",
    ],
)
def test_what_was_not_audited_does_not_pass(
    audit: Path, out: str, err: str, code: int, options: list[str], fails: bool
) -> None:
    """But for a machine without a way out, which says so, where the audit is not required."""
    (audit / "requirements").mkdir()
    (audit / "requirements" / "docs.txt").touch()
    stand_in = f"import sys\nprint({out!r})\nprint({err!r}, file=sys.stderr)\nsys.exit({code})\n"
    (audit / "pip_audit.py").write_text(stand_in)
    done = audited(audit, None, *options)
    assert done.returncode == fails, done.stdout + done.stderr
    assert ("docs: not audited" in done.stdout) is ("vulns" not in out)


@pytest.mark.parametrize(("code", "ends", "said"), [(0, 0, "found"), (10, 1, "found"), (1, 1, "not scanned")])
@pytest.mark.parametrize("image", ["api", "seldon"])
def test_a_scanner_that_could_not_scan_is_no_finding_that_is_held(
    audit: Path, image: str, code: int, ends: int, said: str
) -> None:
    held = finding(0).replace("CVE-1", "any").replace("train", "'image:seldon'")
    (audit / ".ci" / "accepted_findings.yaml").write_text(held)
    docker = audit / "docker"
    docker.write_text(f'#!/bin/sh\n[ "$1" != save ] || exec touch "$3"\nexit {code}\n')
    docker.chmod(0o755)
    environment = {**os.environ, "PATH": f"{audit}{os.pathsep}{os.environ['PATH']}"}
    words = [sys.executable, audit / ".ci" / "scan.py", "1.0", image]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == (0 if image == "seldon" and code == 10 else ends)
    assert said in done.stdout + done.stderr


def test_a_tag_of_another_version_is_not_released() -> None:
    assert (
        subprocess.run(["make", "released", f"RELEASE=v{__version__}"], cwd=ROOT, check=False).returncode == 0
    )
    done = subprocess.run(
        ["make", "released", "RELEASE=v0.0.1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode
    assert f"tag v{__version__}, or raise it" in done.stderr


RESULTS = "make: *** [Makefile:1: check] Error 1\n" + "tests/test_one.py .\n" * 40 + "7 passed in 3 s\n"


@pytest.fixture
def renewed(tmp_path: Path) -> Path:
    """A clone, of a repository that takes a branch; beside it what the job before has resolved again."""
    origin, clone = tmp_path / "origin.git", tmp_path / "clone"
    subprocess.run(["git", "init", "--quiet", "--bare", origin], check=True)
    subprocess.run(["git", "clone", "--quiet", origin, clone], check=True, capture_output=True)
    (clone / ".ci").mkdir()
    (clone / "requirements").mkdir()
    shutil.copy(ROOT / "Makefile", clone)
    shutil.copy(ROOT / ".ci" / "renewal", clone / ".ci")
    (clone / "requirements" / "train.txt").write_text("numpy==2.0.0 \\\n    --hash=sha256:1\n")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "--message", "before")
    artifact = tmp_path / "locks"
    (artifact / "requirements").mkdir(parents=True)
    shutil.copy(clone / "requirements" / "train.txt", artifact / "requirements")
    (artifact / "results.txt").write_text(RESULTS)
    (tmp_path / "bin").mkdir()
    (tmp_path / "opened").touch()  # the pull requests that are open: none
    gh = tmp_path / "bin" / "gh"  # the stand-in keeps what it is told
    gh.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/told\nfor one; do last=$one; done\n'
                  f'case "$1 $2" in "pr list") cat {tmp_path}/opened ;;\n'
                  f'auth*) ;; *) cp "${{last#body=@}}" {tmp_path}/body ;; esac\n')  # fmt: skip
    gh.chmod(0o755)
    return clone


def renew(clone: Path) -> str:
    there = {
        "PATH": f"{clone.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_REPOSITORY": "owner/name",
        "RUNNER_TEMP": str(clone.parent),
    }
    ran = jobs.run(jobs.job("locks", "renewal"), clone, {"github.token": "secret"}, there, {})
    assert ran.well
    return "".join(ran.said.values())


def test_locks_that_have_changed_come_as_a_pull_request_with_results(renewed: Path) -> None:
    edit(renewed.parent / "locks", "requirements/train.txt", ("2.0.0", "2.1.0"))
    renew(renewed)
    branch = git(renewed.parent / "origin.git", "branch", "--list", "locks-*").strip()
    assert git(renewed.parent / "origin.git", "show", "--stat", "--format=%s", branch).startswith(
        "Locks, resolved again"
    )
    body = (renewed.parent / "body").read_text()
    assert "7 passed in 3 s" in body
    assert "[Makefile:1: check] Error 1" in body, "what failed first is far from the end"
    assert "-numpy 2.0.0" in body
    assert "+numpy 2.1.0" in body
    told = (renewed.parent / "told").read_text()
    assert f"pr create --repo owner/name --head {branch} " in told
    assert "secret" not in told


def test_locks_that_change_twice_on_a_day_come_in_the_pull_request_of_that_day(renewed: Path) -> None:
    edit(renewed.parent / "locks", "requirements/train.txt", ("2.0.0", "2.1.0"))
    (renewed.parent / "opened").write_text("7\n")
    renew(renewed)
    told = (renewed.parent / "told").read_text()
    assert "--method PATCH repos/owner/name/pulls/7 " in told
    assert "pr create" not in told
    assert "+numpy 2.1.0" in (renewed.parent / "body").read_text()


def test_every_lock_that_is_resolved_again_is_tried_before_it_is_a_pull_request() -> None:
    """Who opens it is a workflow, so that GitHub starts none on it."""
    (line,) = [step.run for step in jobs.job("locks", "locks").steps if "results.txt" in step.run]
    assert line.startswith("make --keep-going check docs test dags > ")
    body = (ROOT / ".ci" / "renewal").read_text(encoding="utf-8")
    assert "make --keep-going check docs test dags" in body
    assert "close this pull request and open it again" in body


def test_locks_that_are_as_new_as_can_be_open_nothing(renewed: Path) -> None:
    assert "as new as they can be" in renew(renewed)
    assert not (renewed.parent / "told").exists()
