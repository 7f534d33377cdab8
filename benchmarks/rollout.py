"""What a canary or a shadow costs callers: the same load with and without, in turn."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import Load, load
from benchmarks.options import Options
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.served_project import MODEL, Project, Served, served
from benchmarks.serving import accidents_of
from benchmarks.slow_relay import slow_relay
from stacks.components.mlserver.folder import ServedModel, ServerFolder, Trial, write_json

TITLE = "A canary or a shadow beside the champion"
CLIENTS = (1, 8)
NOTICED = 1.5  # seconds in which the API has seen who is on trial
DELAY = 0.5  # seconds by which the slow shadow is late: dozens of times an answer, less than `model_timeout`
SLOWER = 1.15  # times a p50 or p99 may be, measurement noise included
Loads = dict[tuple[str, int], list[Load]]  # by what is on trial and clients, one a round


def run(options: Options) -> Outcome:
    """Every way in turn, several rounds; ratios within a round."""
    seconds, rounds = (2, 1) if options.quick else (10, 5)
    with served(options.quick) as place, slow_relay(_server_of(place), DELAY) as slow:
        ways = _ways(place, slow)
        folder = ServerFolder(place.folder / ".serving" / "model-server")
        bodies, headers = accidents_of(place.bundle), {"X-API-Key": place.key}
        url = f"{place.api}/predict?reasons=false"
        load(url, bodies, 8, 2, headers)  # warm
        loads: Loads = {}
        for _ in range(rounds):
            for way, beside in ways.items():
                _set_routes(folder, beside)
                time.sleep(NOTICED + (4 * DELAY if beside.server else 0))  # its metadata are late, too
                for clients in CLIENTS:
                    loads.setdefault((way, clients), []).append(load(url, bodies, clients, seconds, headers))
    return _outcome(loads, seconds, rounds)


@dataclass(frozen=True)
class Beside:
    """What is beside the champion, and the server that has it; "" is the champion's."""

    trials: tuple[Trial, ...] = ()
    server: str = ""


def _server_of(place: Served) -> str:
    return place.model_server.partition("/v2/")[0]


def _set_routes(folder: ServerFolder, beside: Beside) -> None:
    folder.set_trials(MODEL, beside.trials)
    if beside.server:  # as of a version with servers of its own: docs/decisions/0029
        path = folder.models / MODEL / "routes.json"
        routes = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, [route | {"server": beside.server} for route in routes])


def _ways(place: Served, slow: str) -> Mapping[str, Beside]:
    """Return what is on trial: version 2, trained with another seed, or a version that nobody serves."""
    project = Project(place.folder)
    params = _with_another_seed(place.folder)
    project.run("--pipeline", "train", "--params", params.name)
    project.run("--pipeline", "deploy", "--version", "2", "--shadow")
    folder = ServerFolder(place.folder / ".serving" / "model-server")
    (shadow,) = folder.trials(MODEL)
    gone = ServedModel(f"{MODEL}-gone", shadow.model.version, shadow.model.digest)
    return {
        "nothing": Beside(),
        "a shadow": Beside((shadow,)),
        "a dead shadow": Beside((Trial("shadow", 0, gone),)),
        "a slow shadow": Beside((shadow,), slow),
        "a canary of 50 %": Beside((Trial("challenger", 50, shadow.model),)),
    }


def _with_another_seed(folder: Path) -> Path:
    params = folder / "another.yaml"
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    params.write_text(text.replace("\nseed: 7", "\nseed: 8", 1), encoding="utf-8")
    return params


def _outcome(loads: Loads, seconds: int, rounds: int) -> Outcome:
    failed = sum(each.failed for same_way in loads.values() for each in same_way)
    figures = [
        Figure(what="Requests that failed, in all", target="0", figure=str(failed), met=failed == 0),
        *(
            _slower(loads, way, clients, name)
            for way in ("a dead shadow", "a slow shadow", "a shadow")
            for clients in CLIENTS
            for name in ("p50_ms", "p99_ms")
        ),
    ]
    rows = [
        (
            way,
            str(clients),
            *(f"{_median(same_way, name):.2f}" for name in ("p50_ms", "p99_ms", "per_second")),
        )
        for (way, clients), same_way in loads.items()
    ]
    about = (
        f"wrk asks the API for an accident at a time, without reasons, {seconds} s for each row; medians of "
        f"{rounds} rounds. Both versions are in one model server; a shadow's scores go into the log. "
        f"The slow shadow's server answers {DELAY:g} s late."
    )
    body = table(("beside the champion", "clients", "p50 ms", "p99 ms", "requests/s"), rows)
    return Outcome(about=about, figures=tuple(figures), body=body)


def _slower(loads: Loads, way: str, clients: int, name: str) -> Figure:
    pairs = zip(loads[way, clients], loads["nothing", clients], strict=True)
    ratio = statistics.median(getattr(tried, name) / getattr(plain, name) for tried, plain in pairs)
    who = "one client" if clients == 1 else f"{clients} clients"
    return Figure(
        what=f"With {way} against without, {who}, {name.removesuffix('_ms')}",
        target=f"at most {SLOWER:g} times",
        figure=f"{ratio:.2f} times",
        met=ratio <= SLOWER,
    )


def _median(loads: list[Load], name: str) -> float:
    figures: list[Any] = [getattr(each, name) for each in loads]
    return float(statistics.median(figures))
