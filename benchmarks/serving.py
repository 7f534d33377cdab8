"""How fast one accident is answered: by the model server, by MLflow's and BentoML's, by the API, by code."""

from __future__ import annotations

import json
import re
import statistics
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from accidents.bundle import load_bundle
from accidents.bundle.golden import Golden, make_golden
from accidents.features import build_one
from benchmarks.load import Load, load
from benchmarks.options import Options
from benchmarks.results_page import Figure, Outcome, table
from benchmarks.served_project import Served, served

TITLE = "Serving one accident"
ROWS = 300  # different accidents, asked for in turn
CLIENTS = (1, 8)
_RELAYS = {"relay": "plain", "flushing relay": "flushed"}  # its paths
Loads = dict[tuple[str, int], list[Load]]  # by way and clients, one a round
WAYS = {
    "model server": "model server (MLServer, our runtime), features in",
    "mlflow": "`mlflow models serve`, the same model, features in",
    "bentoml": "BentoML, the same bundle as a Bento, features in",
    "relay": "an empty relay in the API's place, features in",
    "flushing relay": "the same relay, one page flushed to the disk before each answer",
    "api": "API, an accident in: key, features, log; no reasons",
    "api with reasons": "API, the same with reasons",
}


def run(options: Options) -> Outcome:
    """Everything in one run, in turn, three times; medians."""
    seconds, rounds = (2, 1) if options.quick else (8, 3)
    with served(options.quick, bentoml=True) as place:
        asked = {way: _way(place, way) for way in WAYS}
        for url, bodies, headers in asked.values():
            load(url, bodies, 8, 2, headers)  # warm
        loads: Loads = {}
        spent = []
        for _ in range(rounds):
            for way, (url, bodies, headers) in asked.items():
                before = _metrics(place)
                for clients in CLIENTS:
                    loads.setdefault((way, clients), []).append(load(url, bodies, clients, seconds, headers))
                    if (way, clients) == ("api", 1):
                        spent.append(_spent(before, _metrics(place)))
        floor = _floor(place.bundle, accidents_of(place.bundle))
    failed = sum(each.failed for same_way in loads.values() for each in same_way)
    return _outcome(loads, failed, floor, spent, seconds)


def _way(place: Served, way: str) -> tuple[str, list[Any], dict[str, str]]:
    """Address, request bodies and headers of a way of asking."""
    golden = make_golden(load_bundle(place.bundle), ROWS)
    rows = [Golden(golden.features.iloc[k : k + 1], golden.p_severe[k : k + 1]) for k in range(ROWS)]
    requests = [row.request() for row in rows]
    if way in ("model server", "bentoml"):  # the same V2 requests
        return getattr(place, way.replace(" ", "_")), requests, {}
    if way in _RELAYS:
        return f"{place.relay}/{_RELAYS[way]}", requests, {}
    if way == "mlflow":
        return place.mlflow, [{"dataframe_split": _split(row.features)} for row in rows], {}
    reasons = "true" if way == "api with reasons" else "false"
    key = {"X-API-Key": place.key}
    return f"{place.api}/predict?reasons={reasons}", accidents_of(place.bundle), key


def _split(features: pd.DataFrame) -> dict[str, Any]:
    rows = features.astype(object).where(features.notna(), None)
    return {"columns": list(rows.columns), "data": rows.to_numpy().tolist()}


def accidents_of(bundle: Path) -> list[dict[str, Any]]:
    """Accidents as a person would tell them, like those of the bundle's reference."""
    reference = pd.read_parquet(bundle / "reference.parquet").head(ROWS)
    return [_accident(row) for row in reference.to_dict("records")]


def _accident(row: dict[str, Any]) -> dict[str, Any]:
    def known(name: str) -> int | None:
        return None if np.isnan(row[name]) else int(row[name])

    kinds = {"cars": 7, "vans": 10, "lorries": 14, "motorcycles": 33, "mopeds": 30, "bicycles": 1}
    vehicles = [{"category": code} for name, code in kinds.items() for _ in range(known(name) or 0)]
    fields = ("light", "weather", "built_up", "junction", "road_class", "layout", "lanes", "reserved_lane",
              "gradient", "alignment", "surface", "infrastructure", "speed_limit")  # fmt: skip
    return {
        "time": f"2022-03-{1 + int(known('weekday') or 0):02d}T{known('hour') or 0:02d}:00",
        "place": {"latitude": row["latitude"], "longitude": row["longitude"]},
        "pedestrian": bool(known("pedestrian")),
        "vehicles": vehicles or [{"category": 7}],
        **{name: known(name) for name in fields},
    }


def _floor(bundle: Path, accidents: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Milliseconds an accident takes in this process: JSON, features, model; the least any server can do."""
    loaded = load_bundle(bundle)
    texts = [json.dumps(accident) for accident in accidents]
    given = [accident | accident["place"] | {"year": 2022, "month": 3, "day": 1} for accident in accidents]
    rows = [
        np.array([list(build_one(accident, loaded.stage).values())], dtype=np.float32) for accident in given
    ]
    return {
        "JSON": _milliseconds(json.loads, texts),
        "features": _milliseconds(lambda accident: build_one(accident, loaded.stage), given),
        "model": _milliseconds(loaded.predict, rows),
        "reasons (SHAP)": _milliseconds(loaded.model.contributions, rows),
    }


def _milliseconds(function: Any, arguments: Sequence[Any]) -> float:
    """Median of several passes over the arguments, per argument."""
    passes = []
    for _ in range(5):
        started = time.perf_counter()
        for argument in arguments:
            function(argument)
        passes.append((time.perf_counter() - started) / len(arguments) * 1e3)
    return statistics.median(passes)


def _metrics(place: Served) -> dict[str, float]:
    """Read the sums and counts that the API keeps itself."""
    request = urllib.request.Request(f"{place.api}/metrics", headers={"X-API-Key": place.key})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    line = r"^(accidents_\w+_seconds_(?:sum|count))(?:\{[^}]*(?:/predict|champion)\"[^}]*\})? (\S+)$"
    matches = re.findall(line, text, re.M)
    return {name: float(value) for name, value in matches}


def _spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Mean milliseconds of each part of a request between two looks at the metrics."""
    parts = {"whole request": "http_request", "model server call": "model_call", "log commit": "log_commit"}
    mean = {}
    for part, name in parts.items():
        total, count = (
            after[f"accidents_{name}_seconds_{end}"] - before.get(f"accidents_{name}_seconds_{end}", 0.0)
            for end in ("sum", "count")
        )
        mean[part] = total / count * 1e3
    return mean


def _median(loads: Sequence[Load]) -> dict[str, float]:
    names = ("p50_ms", "p99_ms", "per_second")
    return {name: statistics.median(getattr(each, name) for each in loads) for name in names}


def _ratio(loads: Loads, name: str, clients: int, way: str, against: str) -> float:
    """Median over the rounds of one way's figure over another's, measured one after the other."""
    pairs = zip(loads[way, clients], loads[against, clients], strict=True)
    return statistics.median(getattr(tried, name) / getattr(plain, name) for tried, plain in pairs)


def _figures(
    loads: Loads, medians: dict[tuple[str, int], dict[str, float]], failed: int
) -> tuple[Figure, ...]:
    alone, together = medians["api", 1], medians["api", 8]
    return (
        _at_most("Model server, one row, one client, p50", medians["model server", 1]["p50_ms"], 1.5, "ms"),
        _at_least(
            "Model server against `mlflow models serve`, 8 clients",
            _ratio(loads, "per_second", 8, "model server", "mlflow"), 30, "times the requests/s",
        ),
        _at_least(
            "Model server against BentoML, 8 clients",
            _ratio(loads, "per_second", 8, "model server", "bentoml"), 1, "times the requests/s",
        ),
        _at_most("API, one client, p50", alone["p50_ms"], 3, "ms"),
        _at_most("API, one client, p99", alone["p99_ms"], 15, "ms"),
        _at_least("API, 8 clients", together["per_second"], 600, "requests/s"),
        _at_most("Requests that failed, in all", failed, 0, ""),
        _at_most(
            "API against the model server alone, one client, p50",
            _ratio(loads, "p50_ms", 1, "api", "model server"), 2.5, "times",
            _why_slower(loads, "p50_ms", 1),
        ),
        _at_least(
            "API against the model server alone, 8 clients",
            _ratio(loads, "per_second", 8, "api", "model server"), 0.75, "times the requests/s",
            _why_slower(loads, "per_second", 8),
        ),
        *(
            _at_most(
                f"API with reasons against without, {callers}, p50",
                _ratio(loads, "p50_ms", clients, "api with reasons", "api"), target, "times",
            )
            for clients, callers, target in ((1, "one client", 1.5), (8, "8 clients", 2))
        ),
    )  # fmt: skip


def _why_slower(loads: Loads, name: str, clients: int) -> str:
    """Return what a relay that does nothing reaches in the API's place, with and without the disk."""
    relay, flushing = (_ratio(loads, name, clients, way, "model server") for way in _RELAYS)
    return (
        f"In the API's place an empty relay reaches {relay:.2f} times, one that flushes a page to the disk "
        f"first, as the log does, {flushing:.2f} times."
    )


def _outcome(
    loads: Loads,
    failed: int,
    floor: dict[str, float],
    spent: list[dict[str, float]],
    seconds: int,
) -> Outcome:
    least = floor["JSON"] + floor["features"] + floor["model"]
    medians = {key: _median(each) for key, each in loads.items()}
    rows = [
        (
            words,
            f"{medians[way, 1]['p50_ms']:.2f}",
            f"{medians[way, 1]['p99_ms']:.2f}",
            f"{medians[way, 1]['p50_ms'] / least:.0f}",
            f"{medians[way, 8]['p50_ms']:.1f}",
            f"{medians[way, 8]['per_second']:.0f}",
        )
        for way, words in WAYS.items()
    ]
    head = ("", "1 client: p50 ms", "p99 ms", "p50 / floor", "8 clients: p50 ms", "requests/s")
    means = {name: statistics.median(each[name] for each in spent) for name in spent[0]}
    means["all else (HTTP, checks, features)"] = 2 * means["whole request"] - sum(means.values())
    parts = [(name, f"{value:.2f}") for name, value in means.items()]
    floors = [(name, f"{value:.3f}") for name, value in floor.items()]
    about = (
        f"{ROWS} different accidents in turn, wrk beside the servers on the same two cores; medians (of "
        f"ratios within a round) of {len(spent)} rounds of {seconds} s. The model is that of params.yaml on "
        "the sample. Where the time goes: docs/decisions/0038-where-a-prediction-spends-its-time.md."
    )
    body = "\n\n".join(
        [
            table(head, rows),
            "A request to the API, as it measures itself (one client):",
            table(("", "mean ms"), parts),
            f"In one process, without a server, {least:.3f} ms, the floor:",
            table(("", "ms"), floors),
        ]
    )
    return Outcome(about=about, figures=_figures(loads, medians, failed), body=body)


def _at_most(what: str, value: float, target: float, unit: str, why: str = "") -> Figure:
    return _figure(what, f"at most {target:g} {unit}".strip(), _with_unit(value, unit), value <= target, why)


def _at_least(what: str, value: float, target: float, unit: str, why: str = "") -> Figure:
    return _figure(what, f"at least {target:g} {unit}", _with_unit(value, unit), value >= target, why)


def _figure(what: str, target: str, figure: str, met: bool, why: str) -> Figure:
    return Figure(what=what, target=target, figure=figure, met=met, why="" if met else why)


def _with_unit(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}".strip() if value >= 100 or value == int(value) else f"{value:.2f} {unit}"
