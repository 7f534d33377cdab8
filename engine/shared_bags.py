"""A bag that several workers grow together, each from its share of the rows, where none can hold all.

LightGBM does it (`tree_learner: data`): workers add up their histograms over connections of their own, and
each grows all of the same trees. Why not by LightGBM's own module for Dask: docs/decisions/0037.
"""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from accidents.errors import SettingsError
from accidents.lightgbm.booster import Booster
from accidents.training.fit_bags import of_bags, params_of
from accidents.training.model_settings import ModelSettings
from accidents.training.place_encoder import FOLDS, PlaceCounts, PlaceEncoder, count_folds, cross_fitted
from accidents.training.trained_model import Layout
from accidents.training.tree_inputs import SAMPLE, TreeInputs, binned
from engine.cluster import client_of, disconnect
from engine.errors import ClusterError
from engine.models import publish, published
from engine.partitions import PartitionedRows, Piece, labelled_rows, places_of
from engine.tasks import LostError, each, reduced
from engine.together import Team

if TYPE_CHECKING:
    from lightgbm import Dataset

PORTS = range(12400, 12500)  # from LightGBM's own default on; also in kubernetes/base/network_policies.yaml
REACH_SECONDS = 10.0
SILENCE = 10  # minutes that a worker waits for the others' histograms; LightGBM itself waits two hours
ATTEMPTS = 3
Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Grown:
    """A bag, its raw scores of the rows held back, and how many rows each worker held in bins."""

    trees: str
    scores: Doubles
    held_by: tuple[int, ...]


@dataclass(frozen=True)
class _Part:
    """A partition's rows: which are held back (None: none), and what draws their folds of cross-fitting."""

    piece: Piece
    marks: Bools | None
    seed: tuple[int, int]

    @property
    def held(self) -> Bools:
        return np.zeros(self.piece.rows, dtype=bool) if self.marks is None else self.marks

    @property
    def fold(self) -> npt.NDArray[np.int8]:
        return np.random.default_rng(self.seed).integers(FOLDS, size=self.piece.rows).astype(np.int8)


@dataclass(frozen=True)
class _Bag:
    """What all workers are told; `scale` is of densities, `sampled` the share for the bounds of bins."""

    settings: ModelSettings
    stage: str
    seed: int
    number: int
    rows: int  # that are learnt from
    scale: float
    sampled: float

    def params(self, threads: int, memory: float = 0) -> dict[str, Any]:
        """Return LightGBM's parameters on a worker of so many threads: for the memory, one goes by column."""
        at_random = self.settings.draws_thresholds(self.number)
        settings = self.settings.model_copy(update={"n_jobs": threads})
        return params_of(settings, self.stage, self.seed, at_random, self.rows, memory)


def grow(
    rows: PartitionedRows,
    settings: ModelSettings,
    stage: str,
    seed: int,
    bag: int,
    held: Bools | None = None,
) -> Grown:
    """Grow a bag on all rows but those held back, on `dask.workers_per_bag` workers together.

    The same rows, settings and number of workers give the same trees. A worker that is lost ends the bag for
    all, and it is begun again with those there are.

    Raises
    ------
    ClusterError : there are too few workers, they do not reach one another, or one was lost each time.
    SettingsError : there are fewer partitions than workers.
    """
    pieces, workers, name = rows.pieces, rows.dask.workers_per_bag, f"Bag {bag + 1}"
    if len(pieces) < workers:
        raise SettingsError(
            f"dask.workers_per_bag is {workers}, and the training rows are {len(pieces)} partitions: lower "
            "it, or `dask.partition_rows`."
        )
    held = np.zeros(len(rows), dtype=bool) if held is None else held
    marks = np.split(held, np.cumsum([piece.rows for piece in pieces])[:-1])
    parts = [
        _Part(piece, some if some.any() else None, (seed + bag, at))
        for at, (piece, some) in enumerate(zip(pieces, marks, strict=True))
    ]
    named = [(part.piece.name, (part,)) for part in parts]
    counts = reduced(rows.dask, _count, named, _added, f"{name}: counting places")
    learnt = len(rows) - int(held.sum())
    shared = _Bag(settings, stage, seed + bag, bag, learnt, len(rows) / learnt, SAMPLE / len(rows))
    trees, held_by = _kept_on(rows, shared, _dealt(parts, workers), counts, name)
    if not held.any():
        return Grown(trees, np.zeros(0), held_by)
    model = of_bags([Booster(trees)], PlaceEncoder.of_counts(reduce(add, counts)), stage)
    where = publish(model, rows.address)
    scored = [(part.piece.name, (where, part, shared.scale)) for part in parts if part.marks is not None]
    return Grown(trees, np.concatenate(each(rows.dask, _score, scored, f"{name}: scoring")), held_by)


def _kept_on(
    rows: PartitionedRows, bag: _Bag, shares: list[list[_Part]], counts: list[PlaceCounts], name: str
) -> tuple[str, tuple[int, ...]]:
    """Grow it, once more where a worker was lost on the way."""
    lost: Exception | None = None
    for _ in range(ATTEMPTS):
        team = Team.of(client_of(rows.dask), rows.dask)
        try:
            return _grown(team, bag, shares, counts, name)
        except (LostError, OSError) as error:
            lost = error
            if team.client.status != "running":
                disconnect(rows.dask)  # the next connection waits for the scheduler, or starts workers here
        finally:
            team.keep([])
    raise ClusterError(
        f"{name} was begun {ATTEMPTS} times on {len(shares)} workers, and each time one was lost (at last: "
        f"{str(lost).rstrip('.')}). If they needed too much memory, raise their limit or "
        "`dask.workers_per_bag`; their logs tell."
    )


def _grown(
    team: Team, bag: _Bag, shares: list[list[_Part]], counts: list[PlaceCounts], name: str
) -> tuple[str, tuple[int, ...]]:
    n, params = range(len(shares)), bag.params(team.threads)
    doors = team.do(f"{name}: opening ports", _open_door, [() for _ in n])
    machines = team.read(doors, "machine")
    # Trap: a worker that LightGBM cannot connect to it passes over, and dies of it later.
    team.do(f"{name}: reaching one another", _reach, [(machines,) for _ in n])
    [of_all] = team.client.scatter([counts], hash=False)
    team.kept.append(of_all)
    prepared = team.do(f"{name}: preparing rows", _prepare, [(shares[k], bag, of_all, k) for k in n])
    samples = team.do(f"{name}: drawing a sample", getattr, [(prepared[k], "sample") for k in n])
    ready = team.do(f"{name}: binning", _bin, [(prepared[k], samples, doors[k], params) for k in n])
    held_by = team.read(ready, "rows")
    team.keep(ready)
    network = {"tree_learner": "data", "num_machines": len(shares), "machines": ",".join(machines)}
    params |= network | {"time_out": SILENCE}
    try:
        grown = team.do(
            f"{name}: growing trees", _train, [(rows, params, bag.settings.n_estimators) for rows in ready]
        )
        return _as_told(grown[0].result(), bag.params(bag.settings.n_jobs, math.inf)), tuple(held_by)
    except (ClusterError, LostError) as error:
        # Trap: LightGBM may read on from a connection that was closed, without end and without a pause, and
        # waits for a machine that is gone; what it runs in hears of no cancel.
        team.restart()
        raise LostError(str(error)) from error


def _dealt(parts: Sequence[_Part], workers: int) -> list[list[_Part]]:
    """Deal partitions out, the largest first, to whoever has the fewest rows; each keeps their order."""
    shares: list[list[int]] = [[] for _ in range(workers)]
    rows = [0] * workers
    for at in sorted(range(len(parts)), key=lambda at: -parts[at].piece.rows):
        least = rows.index(min(rows))
        shares[least].append(at)
        rows[least] += parts[at].piece.rows
    return [[parts[at] for at in sorted(share)] for share in shares]


def _count(part: _Part) -> list[PlaceCounts]:
    place, y = places_of([part.piece])
    chosen = ~part.held
    return count_folds(place[chosen], y[chosen], part.fold[chosen])


def _added(some: list[PlaceCounts], others: list[PlaceCounts]) -> list[PlaceCounts]:
    return [a + b for a, b in zip(some, others, strict=True)]


@dataclass(frozen=True)
class _Prepared:
    inputs: TreeInputs
    sample: tuple[Floats, int]  # and of how many rows


def _prepare(parts: Sequence[_Part], bag: _Bag, counts: list[PlaceCounts], number: int) -> _Prepared:
    """Return a worker's own rows, with places counted on all workers' rows."""
    rows = labelled_rows([part.piece for part in parts], bag.stage)
    held = np.concatenate([part.held for part in parts])
    chosen, fold = np.flatnonzero(~held), np.concatenate([part.fold for part in parts])
    encoded = cross_fitted(rows.place[chosen], fold[chosen], counts, bag.scale)
    seed = int(np.random.SeedSequence((bag.seed, number)).generate_state(1)[0])
    inputs = TreeInputs(rows, chosen, bag.settings.masked, seed, bag.scale, encoded)
    most = max(int(len(rows) * bag.sampled), 1)
    return _Prepared(inputs, (inputs.sample(most), len(inputs)))


@dataclass(frozen=True)
class _Door:
    machine: str
    listening: socket.socket


def _open_door() -> _Door:
    """Take a free port, and listen where the other workers reach this one."""
    from distributed import get_worker

    host = socket.gethostbyname(urlsplit(get_worker().address).hostname or "")  # LightGBM knows no names
    for port in PORTS:
        listening = socket.socket()
        try:
            listening.bind((host, port))
            listening.listen()
            return _Door(f"{host}:{port}", listening)
        except OSError:
            listening.close()
    raise ClusterError(f"no port of {PORTS[0]} to {PORTS[-1]} is free")


def _reach(machines: Sequence[str]) -> None:
    for machine in machines:
        try:
            socket.create_connection(_place_of(machine), timeout=REACH_SECONDS).close()
        except OSError as error:
            raise ClusterError(
                f"it does not reach {machine} ({error}). Workers that share a bag need the ports {PORTS[0]} "
                f"to {PORTS[-1]} of one another: open them in firewalls and network policies, or set "
                "`dask.workers_per_bag: 1`."
            ) from None


def _place_of(machine: str) -> tuple[str, int]:
    host, _, port = machine.rpartition(":")
    return host, int(port)


@dataclass(frozen=True)
class _Ready:
    machine: str
    reserved: socket.socket
    bins: Dataset
    rows: int


def _bin(
    prepared: _Prepared, samples: Sequence[tuple[Floats, int]], door: _Door, params: dict[str, Any]
) -> _Ready:
    """Put a worker's rows into bins, whose bounds are found on rows of all workers, so are equal on each.

    LightGBM itself would find a feature's bounds on one worker's rows, and drop one that these years lack.
    """
    door.listening.close()
    # Bound, nobody else takes it; but not listening, or others would connect before LightGBM is there.
    reserved = socket.socket()
    reserved.bind(_place_of(door.machine))
    sample = np.concatenate([rows for rows, _ in samples])
    bins = binned(prepared.inputs, sample, sum(total for _, total in samples), params)
    return _Ready(door.machine, reserved, bins, bins.num_data())


def _train(ready: _Ready, params: dict[str, Any], trees: int) -> str:
    """Grow the trees together with the other workers, which do the same at the same time."""
    import lightgbm

    ready.reserved.close()
    params = params | {"local_listen_port": _place_of(ready.machine)[1]}
    grown = lightgbm.train(params, ready.bins, trees)
    grown.free_network()  # or whatever this thread does next would ask the others
    return str(grown.model_to_string())


def _as_told(trees: str, params: dict[str, Any]) -> str:
    """Return the trees without where they were grown, and on how many threads: they are the same with any."""
    threads = {name: int(params[name]) for name in ("num_threads", "force_row_wise", "force_col_wise")}
    for name, value in {**threads, "machines": "", "local_listen_port": PORTS[0]}.items():
        trees = re.sub(rf"^\[{name}: .*\]$", f"[{name}: {value}]", trees, count=1, flags=re.M)
    return trees


def _score(where: str, part: _Part, scale: float) -> Doubles:
    """Return raw scores of a partition's rows that were held back."""
    model, at = published(where), np.flatnonzero(part.held)
    rows = labelled_rows([part.piece], model.stage)
    places = PlaceEncoder(model.encoder.counts, model.encoder.rate, scale)
    return model.booster.score(Layout(rows.names).join(rows.at(at), places.transform(rows.place[at])))
