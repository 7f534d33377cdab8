"""Data versions are DVC's own hashes, and come back byte for byte."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from accidents.bundle.provenance import git_commit, has_commit
from accidents.data.data_versions import push, restore, snapshot
from accidents.errors import SourceError

DVC = Path(sys.executable).with_name("dvc")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty DVC repository in git, with a folder remote."""
    folder = tmp_path / "a repository"
    folder.mkdir()
    run(folder, "git", "init", "-q")
    run(folder, DVC, "init", "-q")
    run(folder, DVC, "remote", "add", "-q", "-d", "local", "../remote")
    return folder


def run(folder: Path, *words: str | Path) -> str:
    command = [os.fspath(word) for word in words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def two_years(folder: Path) -> dict[str, Path]:
    files = {}
    for year in (2018, 2024):
        path = folder / str(year) / f"lieux-{year}.csv"
        path.parent.mkdir(parents=True)
        path.write_text(f"Num_Acc\n{year}00000001\n", encoding="utf-8")
        files[f"{year}/{path.name}"] = path
    return files


def test_the_version_is_the_hash_that_dvc_itself_gives_the_folder(repository: Path) -> None:
    files = two_years(repository / "raw")
    version = snapshot(files, repository)
    run(repository, DVC, "add", "-q", "raw")
    assert f"md5: {version}" in (repository / "raw.dvc").read_text()


def test_a_version_comes_back_byte_for_byte_after_the_files_have_gone(
    repository: Path, tmp_path: Path
) -> None:
    files = two_years(tmp_path / "elsewhere")
    before = {inside: path.read_bytes() for inside, path in files.items()}
    version = snapshot(files, repository)
    for path in files.values():
        path.unlink()
    back = restore(version, tmp_path / "back", repository)
    assert {inside: (back / inside).read_bytes() for inside in before} == before


def test_the_cache_owns_the_bytes_of_a_version_and_nobody_writes_to_them(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = snapshot(two_years(tmp_path / "raw"), repository)
    laid = [path for path in restore(version, tmp_path / "back", repository).rglob("*") if path.is_file()]
    kept = {path.stat().st_ino for path in (repository / ".dvc" / "cache").rglob("*")}
    assert len(laid) == 2
    assert all(path.stat().st_ino in kept and not path.stat().st_mode & 0o222 for path in laid)

    def elsewhere(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", elsewhere)
    copied = [path for path in restore(version, tmp_path / "copied", repository).rglob("*") if path.is_file()]
    assert not kept & {path.stat().st_ino for path in copied}
    assert sorted(path.read_bytes() for path in copied) == sorted(path.read_bytes() for path in laid)


def test_one_changed_byte_is_another_version(repository: Path, tmp_path: Path) -> None:
    files = two_years(tmp_path / "raw")
    before = snapshot(files, repository)
    files["2018/lieux-2018.csv"].write_text("Num_Acc\n201800000002\n")
    assert snapshot(files, repository) != before


def test_a_version_is_taken_from_the_remote_when_the_cache_lost_it(repository: Path, tmp_path: Path) -> None:
    files = two_years(repository / "raw")
    version = snapshot(files, repository)
    run(repository, DVC, "add", "-q", "raw")
    run(repository, DVC, "push", "-q")
    run(repository, "rm", "-rf", ".dvc/cache")
    back = restore(version, tmp_path / "back", repository)
    assert sorted(path.name for path in back.rglob("*.csv")) == ["lieux-2018.csv", "lieux-2024.csv"]


def test_an_unknown_version_says_where_it_was_looked_for_and_leaves_nothing(
    repository: Path, tmp_path: Path
) -> None:
    unknown = hashlib.md5(b"nothing").hexdigest() + ".dir"
    with pytest.raises(
        SourceError, match=rf"{unknown} is neither in DVC's cache nor in its remote .*data_version"
    ):
        restore(unknown, tmp_path / "back", repository)
    assert not list(tmp_path.glob("back*"))


def test_without_git_versions_are_the_same_and_come_back(repository: Path, tmp_path: Path) -> None:
    """As in a downloaded archive, or in an image that the sources were copied into."""
    files = two_years(tmp_path / "raw")
    version = snapshot(files, repository)
    shutil.rmtree(repository / ".git")
    assert snapshot(files, repository) == version
    assert len(list(restore(version, tmp_path / "back", repository).rglob("*.csv"))) == 2
    assert git_commit(repository) == "unknown"


def test_outside_a_dvc_repository_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="dvc init"):
        snapshot(two_years(tmp_path / "raw"), tmp_path)


def test_the_commit_says_when_tracked_files_differ(tmp_path: Path) -> None:
    run(tmp_path, "git", "init", "-q")
    (tmp_path / "file").write_text("one")
    run(tmp_path, "git", "add", "file")
    run(tmp_path, "git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "one")
    commit = git_commit(tmp_path)
    assert len(commit) == 40
    (tmp_path / "file").write_text("two")
    assert git_commit(tmp_path) == f"{commit}-dirty"
    assert has_commit(commit, tmp_path)
    assert not has_commit("0" * 40, tmp_path)


def test_outside_git_the_commit_is_unknown(tmp_path: Path) -> None:
    assert git_commit(tmp_path / "nowhere") == "unknown"


def test_the_commit_of_a_repository_around_the_project_is_not_its_own(tmp_path: Path) -> None:
    run(tmp_path, "git", "init", "-q")
    commit = ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "one", "--allow-empty"]
    run(tmp_path, "git", *commit)
    (tmp_path / "unpacked").mkdir()
    assert git_commit(tmp_path / "unpacked") == "unknown"


def test_another_remote_is_pushed_to_and_taken_from(repository: Path, tmp_path: Path) -> None:
    files, remote = two_years(tmp_path / "raw"), str(tmp_path / "theirs")
    version = snapshot(files, repository)
    push(version, remote, repository)
    shutil.rmtree(repository / ".dvc" / "cache")
    with pytest.raises(SourceError, match="nor in its remote"):
        restore(version, tmp_path / "back", repository)
    back = restore(version, tmp_path / "back", repository, remote)
    assert snapshot({inside: back / inside for inside in files}, repository, keep=False) == version


def test_a_file_that_is_not_what_the_version_says_is_refused(repository: Path, tmp_path: Path) -> None:
    version = snapshot(two_years(tmp_path / "raw"), repository)
    cache = (path for path in (repository / ".dvc" / "cache").rglob("*") if path.is_file())
    kept = next(path for path in cache if path.suffix != ".dir")
    kept.chmod(0o644)
    kept.write_text("Num_Acc\n1\n")
    with pytest.raises(SourceError, match="is damaged: its MD5 is"):
        restore(version, tmp_path / "back", repository)
    assert not list(tmp_path.glob("back*"))
