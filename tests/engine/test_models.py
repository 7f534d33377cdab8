"""A folder on its way to the workers: the same there, and nothing else."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from accidents.errors import DataError
from engine.models import publish_folder, published_folder


def test_a_folder_arrives_as_it_was_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    (folder / "inner").mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "inner" / "trees.txt").write_bytes(b"\x00\xff")
    where = publish_folder(folder, str(tmp_path / "store"))
    there = published_folder(where)
    assert {path.relative_to(there).as_posix(): path.read_bytes() for path in there.rglob("*.*")} == {
        "manifest.json": b"{}", "inner/trees.txt": b"\x00\xff",
    }  # fmt: skip
    published_folder.cache_clear()
    Path(where).write_bytes(Path(where).read_bytes()[:-1])
    with pytest.raises(DataError, match="is damaged"):
        published_folder(where)


def test_nothing_is_written_outside_of_the_folder(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    content = packed.getvalue()
    where = tmp_path / f"{hashlib.sha256(content).hexdigest()}.tar"
    where.write_bytes(content)
    with pytest.raises(DataError, match=r"holds ../outside, which is no file of a model"):
        published_folder(str(where))
