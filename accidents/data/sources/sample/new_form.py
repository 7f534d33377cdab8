"""The published form since 2019: decimal comma, HH:MM, grouped ids, " -1" and "(1)" for missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from accidents.data.sources.sample.formatting import (
    BLANK_LIGHT,
    WRONG_LANES,
    Values,
    birth_years,
    flaw,
    grouped,
    optional,
    road_number,
    stated,
    text,
    translate,
    users_kept,
    vehicle_labels,
)
from accidents.data.sources.sample.tables import Columns

WRONG_SPEED_LIMIT = 0.002  # a 0 too many or lost (0.2 % in 2024)
NO_USER_2024 = 24 / 92678  # vehicles without any user row
SEVERAL_PLACES_2024 = 0.29
UNKNOWN_SEVERITY = 0.1  # of the drivers who fled, since 2021

_EQUIPMENT_SINCE_2019 = {0: 8, 1: 1, 2: 2, 3: 3, 11: 1, 21: 2, 31: 3, 12: 0, 22: 0, 32: 0, 41: 4, 91: 9}


def new_tables(
    rng: np.random.Generator, year: int, serial: Values, a: Columns, v: Columns, u: Columns
) -> dict[str, pd.DataFrame]:
    """Write the four tables of a year in the form of the files from 2019 on."""
    label = vehicle_labels(rng, v, numbered=0.0, accidents=len(serial))
    vehicle_id = grouped(np.arange(len(label)) + (138_000_000 if year <= 2020 else 155_000_000))
    keep = np.ones(len(u["role"]), dtype=bool) if year >= 2021 else ~u["fled"]
    if year >= 2024:
        # For a few of the vehicles that fled not even an unknown driver was made up.
        keep &= ~(
            u["fled"] & (rng.random(len(keep)) < NO_USER_2024 / max(float(v["fled"].mean()), NO_USER_2024))
        )
    return {
        "caracteristiques": _new_accidents(rng, year, serial, a),
        "lieux": _new_places(rng, year, serial, a),
        "vehicules": _new_vehicles(rng, serial, v, label, vehicle_id),
        "usagers": _new_users(rng, year, serial, users_kept(u, keep), label, vehicle_id),
    }


def _new_accidents(rng: np.random.Generator, year: int, serial: Values, a: Columns) -> pd.DataFrame:
    digits = 7 if year <= 2020 else 10
    code = np.char.add(a["department"], a["commune"])
    department = a["department"]
    if year == 2019:
        department = np.where(np.char.str_len(department) == 2, np.char.lstrip(department, "0"), department)
    return pd.DataFrame(
        {
            "Accident_Id" if year == 2022 else "Num_Acc": serial,
            "jour": padded(a["day"], year),
            "mois": padded(a["month"], year),
            "an": year,
            "hrmn": times(a),
            "lum": flaw(rng, a["light"], BLANK_LIGHT, " -1"),
            "dep": department,
            "com": code,
            "agg": a["built_up"],
            "int": a["junction"],
            "atm": stated(a["weather"]),
            "col": a["collision"],
            "adr": "SYNTHETIC",
            "lat": degrees(a["latitude"], digits),
            "long": degrees(a["longitude"], digits),
        }
    )


def _new_places(rng: np.random.Generator, year: int, serial: Values, a: Columns) -> pd.DataFrame:
    n = len(a["hour"])
    several = rng.random(n) < (SEVERAL_PLACES_2024 if year >= 2024 else 0)
    row = np.repeat(np.arange(n), 1 + several * np.minimum(rng.geometric(0.95, n), 4))
    further = np.concatenate(([False], row[1:] == row[:-1]))  # the other roads of the junction

    def of(name: str, others: Iterable[int]) -> npt.NDArray[Any]:
        return np.where(further, rng.choice(np.fromiter(others, dtype=np.int64), len(row)), a[name][row])

    # The accident's own road is the faster one, so that a reader that keeps the fastest keeps it.
    limit = np.minimum(of("speed_limit", (30, 50, 50, 50, 80)), a["speed_limit"][row])
    wrong = rng.choice((5, 300, 500, 800, 900), len(row))
    width = np.where(rng.random(len(row)) < 0.04, text("%s", a["road_width"][row] / 10), "0")
    unmarked = rng.random(len(row)) < 0.35
    return pd.DataFrame(
        {
            "Num_Acc": np.asarray(serial)[row],
            "catr": a["road_class"][row],
            "voie": road_number(rng, a)[row],
            "v1": 0,
            "v2": "",
            "circ": stated(of("layout", (1, 2, 2, 3))),
            "nbv": stated(flaw(rng, a["lanes"][row], WRONG_LANES, 50)),
            "vosp": of("reserved_lane", (0, 0, 0, 1, 3)),
            "prof": stated(of("gradient", (1, 1, 1, 2))),
            "pr": np.where(unmarked, "(1)", optional(a["milepost"][row], "0")),
            "pr1": np.where(unmarked, "(1)", grouped(a["milepost_distance"][row])),
            "plan": stated(of("alignment", (1, 1, 1, 2, 3))),
            "lartpc": "",
            "larrout": np.where((width == "0") | (width == "0.0"), " -1", np.char.replace(width, ".", ",")),
            "surf": stated(a["surface"][row]),
            "infra": of("infrastructure", (0, 0, 0, 5)),
            "situ": a["position"][row],
            "vma": np.where(rng.random(len(row)) < WRONG_SPEED_LIMIT, wrong, limit),
        }
    )


def _new_vehicles(
    rng: np.random.Generator, serial: Values, v: Columns, label: Values, vehicle_id: Values
) -> pd.DataFrame:
    direction = np.where(v["direction"] == 0, 3, v["direction"])
    return pd.DataFrame(
        {
            "Num_Acc": np.asarray(serial)[v["accident"]],
            "id_vehicule": vehicle_id,
            "num_veh": label,
            "senc": direction,
            "catv": v["category"],
            "obs": v["fixed_obstacle"],
            "obsm": v["moving_obstacle"],
            "choc": v["impact"],
            "manv": stated(v["manoeuvre"]),
            "motor": flaw(rng, v["engine"], 0.005, " -1"),
            "occutc": optional(v["occupants"]),
        }
    )


def _new_users(
    rng: np.random.Generator, year: int, serial: Values, u: Columns, label: Values, vehicle_id: Values
) -> pd.DataFrame:
    n, fled, on_foot = len(u["role"]), u["fled"], u["role"] == 3
    first, second = _equipment_since_2019(rng, u)
    unknown = fled & (rng.random(n) < UNKNOWN_SEVERITY)
    seated = np.where(rng.random(n) < 0.5, "0", " -1")  # both are seen for people in vehicles
    action = np.where(rng.random(n) < 0.02, "B", text("%d", u["pedestrian_action"]))
    identity: dict[str, Values] = {"Num_Acc": np.asarray(serial)[u["accident"]]}
    if year >= 2021:
        identity["id_usager"] = grouped(np.arange(n) + 203_000_000)
    return pd.DataFrame(
        {
            **identity,
            "id_vehicule": np.asarray(vehicle_id)[u["vehicle"]],
            "num_veh": np.asarray(label)[u["vehicle"]],
            "place": np.where(on_foot, 10, u["seat"]),
            "catu": u["role"],
            "grav": np.where(unknown, " -1", text("%d", u["severity"])),
            "sexe": np.where(fled, " -1", text("%d", u["sex"])),
            "an_nais": np.where(fled, "", birth_years(rng, year, u)),
            "trajet": np.where(fled, " -1", text("%d", u["trip"])),
            "secu1": np.where(fled, " -1", first),
            "secu2": np.where(fled, " -1", second),
            "secu3": " -1",
            "locp": np.where(on_foot, text("%d", u["pedestrian_location"]), seated),
            "actp": np.where(on_foot, action, seated),
            "etatp": np.where(on_foot, stated(u["pedestrian_company"]), " -1"),
        }
    )


def _equipment_since_2019(rng: np.random.Generator, u: Columns) -> tuple[Values, Values]:
    """First and second item of equipment worn."""
    first = text("%d", translate(_EQUIPMENT_SINCE_2019, u["equipment"], 8))
    first = np.where(u["role"] == 3, "0", first)
    gloves = (np.asarray(first) == "2") & (rng.random(len(first)) < 0.45)
    return first, np.where(gloves, "6", rng.choice(("0", " -1", "8"), len(first), p=(0.45, 0.4, 0.15)))


def degrees(values: npt.NDArray[Any], digits: int) -> list[str]:
    """Degrees with a decimal comma, and a space before a minus sign."""
    return [f"{value:.{digits}f}".replace(".", ",").replace("-", " -") for value in values.tolist()]


def padded(values: npt.NDArray[Any], year: int) -> npt.NDArray[Any]:
    """Numbers as text, of two digits from 2021 on."""
    return text("%02d" if year >= 2021 else "%d", values)


def times(a: Columns) -> npt.NDArray[Any]:
    """Hour and minute as HH:MM."""
    return np.char.add(np.char.add(text("%02d", a["hour"]), ":"), text("%02d", a["minute"]))
