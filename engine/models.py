"""A model, or a bundle, on its way to the workers: one file beside the partitions, known by its content."""

from __future__ import annotations

import hashlib
import io
import tarfile
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from accidents.data.storage import exists, join, read_bytes, write_bytes
from accidents.errors import DataError
from accidents.training.trained_model import Model


def publish(model: Model, address: str) -> str:
    """Write a model below an address, once; return the file's own address."""
    with TemporaryDirectory(prefix="model-") as folder:
        model.save(Path(folder))
        return publish_folder(Path(folder), address)


def publish_folder(folder: Path, address: str) -> str:
    """Write a folder's files below an address as one, once; return the file's own address."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(entry, file)
    content = packed.getvalue()
    where = join(address, "models", f"{hashlib.sha256(content).hexdigest()}.tar")
    if not exists(where):
        write_bytes(where, content)
    return where


@lru_cache(maxsize=2)
def published(where: str) -> Model:
    """Read a model; a worker does so once. Raises DataError if the file is not what its name says."""
    with TemporaryDirectory(prefix="model-") as folder:
        _unpack(where, folder)
        return Model.load(Path(folder))


@lru_cache(maxsize=2)
def published_folder(where: str) -> Path:
    """Lay the files out in a folder that goes with the worker; the same otherwise."""
    folder = mkdtemp(prefix="bundle-", dir=_workers_folder())
    _unpack(where, folder)
    return Path(folder)


def _workers_folder() -> str | None:
    try:
        from distributed import get_worker

        return str(get_worker().local_directory)
    except (ImportError, ValueError):  # in no worker
        return None


def _unpack(where: str, folder: str) -> None:
    content = read_bytes(where)
    if hashlib.sha256(content).hexdigest() != where.rsplit("/", 1)[-1].removesuffix(".tar"):
        raise DataError(f"{where} is damaged. Remove it, and run the command again.")
    root = Path(folder).resolve()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for entry in archive:  # `extractall` is safe from Python 3.11.4 on only
            path, packed = (root / entry.name).resolve(), archive.extractfile(entry)
            if packed is None or not path.is_relative_to(root):
                raise DataError(f"{where} holds {entry.name}, which is no file of a model. Remove it.")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed.read())
