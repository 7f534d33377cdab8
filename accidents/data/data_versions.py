"""Versions of the raw data.

A data version is the hash DVC gives a folder laid out as `<year>/<published file>`: the same hash stands
in `dvc.lock` for `data/raw`, on every MLflow run and on every model version. The files go into DVC's
cache, so that any version seen once can be trained on again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accidents.errors import SourceError
from accidents.files import ROOT, whole_folder

if TYPE_CHECKING:
    from dvc.repo import Repo


_GIVEN = "given"  # name of the remote whose address we are given


def _repo(root: Path, remote: str | None = None) -> Repo:
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import SCM

    try:
        # The cache needs no git, and a downloaded archive or an image has none.
        return Repo(
            os.fspath(root),
            scm=SCM(os.fspath(root), no_scm=True),
            config={"remote": {_GIVEN: {"url": remote}}} if remote else None,
        )
    except NotDvcRepoError:
        raise SourceError(
            f"{root} is not a DVC repository: run `dvc init` there, or work in a clone."
        ) from None


def snapshot(files: Mapping[str, Path], root: Path = ROOT, keep: bool = True) -> str:
    """Put files into DVC's cache as one folder and return the folder's DVC hash.

    Parameters
    ----------
    files : mapping from the path inside the folder (`2018/lieux-2018.csv.gz`) to the file on disk.
    root : the DVC repository.
    keep : False only computes the hash.

    Returns
    -------
    The hash with its `.dir` ending, as `dvc.lock` writes it.
    """
    from dvc.fs import LocalFileSystem
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.transfer import transfer
    from dvc_data.hashfile.tree import Tree

    cache = _repo(root).cache.local
    tree: Any = Tree()  # type: ignore[no-untyped-call]
    for inside, path in sorted(files.items()):
        staging, meta, built = build(cache, os.fspath(path), LocalFileSystem(), "md5")
        if keep:
            transfer(staging, cache, {built.hash_info}, shallow=False)
        tree.add(tuple(inside.split("/")), meta, built.hash_info)
    tree.digest()
    if keep:
        cache.add(tree.path, tree.fs, tree.oid, hardlink=False)
    return str(tree.oid)


def push(version: str, remote: str | None = None, root: Path = ROOT) -> None:
    """Copy a data version from DVC's cache to its remote.

    Parameters
    ----------
    remote : its address; None for the default remote of the repository.

    Raises
    ------
    SourceError
        If not all of it got there.
    """
    repo = _repo(root, remote)
    _transfer(repo.cache.local, _remote(repo, remote), version)


def restore(version: str, folder: Path, root: Path = ROOT, remote: str | None = None) -> Path:
    """Lay the files of a data version out below `folder`, from DVC's cache or its remote.

    Parameters
    ----------
    remote : its address; None for the default remote of the repository.

    Raises
    ------
    SourceError
        If neither holds that version, or a file is not what the version says.
    """
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    repo = _repo(root, remote)
    cache, wanted = repo.cache.local, HashInfo("md5", version)
    if not cache.exists(version):
        _pull(repo, _remote(repo, remote), version)
    tree: Any = Tree.load(cache, wanted)
    with whole_folder(folder) as part:
        for key, (_, hash_info) in tree.iteritems():
            target = part.joinpath(*key)
            target.parent.mkdir(parents=True, exist_ok=True)
            _lay(Path(cache.oid_to_path(hash_info.value)), target, hash_info.value)
    return folder


def _lay(kept: Path, target: Path, md5: str) -> None:
    """Link a file of the cache, which owns the bytes; copy it to another file system.

    Raises SourceError if it is not what it is kept as.
    """
    try:
        try:
            os.link(kept, target)  # read-only, as DVC keeps it
        except OSError:
            shutil.copyfile(kept, target)
    except FileNotFoundError:
        raise SourceError(f"{kept} is gone from DVC's cache. Run `dvc fetch`.") from None
    with target.open("rb") as file:
        actual = hashlib.file_digest(file, "md5").hexdigest()
    if actual != md5:
        raise SourceError(
            f"{kept} is damaged: its MD5 is {actual}, and DVC keeps it as {md5}. Remove it, then run `dvc "
            "fetch` or get the files again."
        )


def _remote(repo: Repo, address: str | None) -> Any:
    from dvc.config import NoRemoteError

    try:
        return repo.cloud.get_remote_odb(_GIVEN if address else None)
    except NoRemoteError:
        raise SourceError(
            "It is not in DVC's cache, and there is no remote: `dvc remote add -d NAME ADDRESS` adds one."
        ) from None


def _pull(repo: Repo, remote: Any, version: str) -> None:
    try:
        remote.fs.info(remote.oid_to_path(version))  # `exists` takes a server that fails for one without it
    except FileNotFoundError:
        raise SourceError(
            f"Data version {version} is neither in DVC's cache nor in its remote {remote.path}. "
            "Check the hash (MLflow tag `data_version`), or `dvc pull` from the remote that has it."
        ) from None
    _transfer(remote, repo.cache.local, version)


def _transfer(source: Any, target: Any, version: str) -> None:
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.transfer import transfer

    failed = transfer(source, target, {HashInfo("md5", version)}, shallow=False).failed
    if failed:
        raise SourceError(
            f"{len(failed)} files of data version {version} could not be copied from {source.path} to "
            f"{target.path}: is there room, and may this login write there? Run the command again when it "
            "may: what has been copied is not copied again."
        )
