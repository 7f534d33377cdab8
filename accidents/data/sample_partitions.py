"""Synthetic years as partitions of checked tables, written by several processes, as large as there is room.

Every partition is what reading a synthetic year of its own seed gives, with ids of its own, so it can be made
without the others, and again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from accidents.data.partition_files import MANIFEST, TablePart, part_name, write_manifest, write_part
from accidents.data.reading.years import read_year
from accidents.data.sources.sample import NOTE, write_sample
from accidents.data.storage import exists, join, read_json, remove, write_bytes, write_json
from accidents.data.tables import Tables
from accidents.errors import SettingsError, SourceError
from accidents.progress import track
from accidents.source_code import code_version

PART = 60_000  # accidents: a year of France
_NEXT_SEED = 1_000_003  # from a partition to the next of its year
_IDS = 10**8  # of one year
_RECIPE = "recipe.json"


def write_partitions(
    address: str,
    years: Sequence[int],
    scale: int = 1,
    seed: int = 7,
    accidents: int = PART,
    processes: int = 0,
) -> list[TablePart]:
    """Write `scale` partitions of `accidents` accidents for each year; the manifest comes last.

    Parameters
    ----------
    address : a folder, or one of a store. What is there of the same recipe is kept, so a run that was
        stopped goes on.
    processes : 0 for as many as there are processors.

    Raises
    ------
    SettingsError : another sample is there, or so many accidents have no ids.
    """
    if scale * accidents >= _IDS:
        raise SettingsError(f"SCALE {scale}: a year has ids for {_IDS - 1:,} accidents. Give less.")
    recipe = {"years": sorted(set(years)), "scale": scale, "seed": seed, "accidents": accidents,
              "code": code_version("accidents.data.sources.sample", "accidents.data.reading")}  # fmt: skip
    _require_own(address, recipe)
    write_json(join(address, _RECIPE), recipe)
    write_bytes(join(address, "SYNTHETIC.txt"), NOTE.encode())
    remove(join(address, MANIFEST))
    wanted = [(year, number) for year in sorted(set(years)) for number in range(scale)]
    made: dict[tuple[int, int], TablePart] = {}
    with ProcessPoolExecutor(processes or os.cpu_count() or 1, get_context("spawn")) as pool:
        under_way = {
            pool.submit(_write_one, address, year, number, accidents, seed): (year, number)
            for year, number in wanted
        }
        try:
            for future in track(as_completed(under_way), "Writing partitions", len(wanted)):
                made[under_way[future]] = future.result()
        except BrokenProcessPool as error:
            raise SourceError(
                f"{address}: a process that wrote a partition was ended from outside, perhaps for want of "
                "memory. Run it again: what is written is kept."
            ) from error
        finally:  # where one has failed, or somebody ends it, the others are not begun
            pool.shutdown(cancel_futures=True)
    parts = [made[each] for each in wanted]
    write_manifest(address, parts, synthetic=True, recipe=recipe)
    return parts


def _require_own(address: str, recipe: dict[str, object]) -> None:
    where = join(address, _RECIPE)
    if exists(where):
        if read_json(where) != recipe:
            raise SettingsError(f"{address} holds another sample: remove it, or name another folder.")
    elif exists(join(address, MANIFEST)):
        raise SettingsError(f"{address} holds partitions that are no sample: name another folder.")


def _write_one(address: str, year: int, number: int, accidents: int, seed: int) -> TablePart:
    name = part_name(year, number)
    note = join(address, name, "part.json")
    if exists(note):
        return TablePart(**read_json(note))
    with TemporaryDirectory(prefix="sample-") as folder:
        files = write_sample(Path(folder), [year], accidents, seed + number * _NEXT_SEED)[year]
        tables, quality = read_year(files)
    tables = _renumbered(tables, number * accidents).validate()
    part = write_part(address, name, year, tables, quality)
    write_json(note, vars(part))
    return part


def _renumbered(tables: Tables, by: int) -> Tables:
    frames = (tables.accidents, tables.places, tables.vehicles, tables.users)
    return Tables(*(frame.assign(accident_id=frame["accident_id"] + by) for frame in frames))
