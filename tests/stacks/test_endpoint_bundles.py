"""An adapter fetches a bundle from wherever the reference says, and takes no other for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from zenml.io.filesystem_registry import default_filesystem_registry
from zenml.io.local_filesystem import LocalFilesystem

from accidents.errors import BundleError
from stacks.endpoints import BundleReference
from stacks.endpoints.adapter import fetched
from tests.model_servers import NAME, Version, broken, make_version


class Bucket(LocalFilesystem):
    """What an artifact store in a bucket registers with ZenML: here a folder has its objects."""

    SUPPORTED_SCHEMES: ClassVar[set[str]] = {"bucket://"}
    objects: ClassVar[Path]

    @classmethod
    def _at(cls, path: str) -> str:
        return str(cls.objects / path.removeprefix("bucket://"))

    @classmethod
    def open(cls, path: str, mode: str = "r") -> object:
        return open(cls._at(path), mode)

    @classmethod
    def exists(cls, path: str) -> bool:
        return Path(cls._at(path)).exists()

    @classmethod
    def isdir(cls, path: str) -> bool:
        return Path(cls._at(path)).is_dir()

    @classmethod
    def listdir(cls, path: str) -> list[str]:
        return [entry.name for entry in Path(cls._at(path)).iterdir()]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return make_version(tmp_path_factory.mktemp("version"), 1)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Path]:
    Bucket.objects = tmp_path
    default_filesystem_registry.register(Bucket)
    yield tmp_path
    del default_filesystem_registry._filesystems["bucket://"]


def reference(uri: str, digest: str) -> BundleReference:
    return BundleReference(NAME, "1", digest, uri)


def test_from_a_bucket_it_is_here_as_long_as_it_is_needed(version: Version, bucket: Path) -> None:
    shutil.copytree(version.bundle.folder, bucket / "a" / "files")
    with fetched(reference("bucket://a/files", version.bundle.digest)) as files:
        assert (files / "model" / "trees.txt").read_bytes() == (
            version.bundle.folder / "model" / "trees.txt"
        ).read_bytes()
    assert not files.exists()


def test_from_this_machine_it_is_read_where_it_is(version: Version) -> None:
    with fetched(reference(str(version.bundle.folder), version.bundle.digest)) as files:
        assert files == version.bundle.folder
    assert files.is_dir()


@pytest.mark.parametrize("what", ["altered", "another", "absent", "of no known store"])
def test_what_it_does_not_mean_is_refused(version: Version, bucket: Path, what: str) -> None:
    shutil.copytree(version.bundle.folder, bucket / "whole")
    broken(version, bucket / "altered")
    uri, digest, words = {
        "altered": ("bucket://altered", version.bundle.digest, r"trees\.txt is altered"),
        "another": ("bucket://whole", "0" * 64, "not the bundle that was registered"),
        "absent": ("bucket://absent", version.bundle.digest, "bucket://absent cannot be read"),
        "of no known store": ("nowhere://a", version.bundle.digest, "nowhere://a cannot be read"),
    }[what]
    with pytest.raises(BundleError, match=words), fetched(reference(uri, digest)):
        pytest.fail("it was taken")
