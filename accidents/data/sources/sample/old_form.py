"""The published form of 2005-2018: comma, latin-1, padded digits, coordinates x 100000, empty for missing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from accidents.data.sources.sample.formatting import (
    BLANK_LIGHT,
    WRONG_LANES,
    Values,
    birth_years,
    flaw,
    optional,
    road_number,
    text,
    translate,
    users_kept,
    vehicle_labels,
)
from accidents.data.sources.sample.tables import Columns

BLANK_PLACE = 0.007  # rows of lieux without any code (0.7 % in 2018)
UNSTATED_PLACE = 0.065  # up to 2016: lanes, gradient, alignment and surface all 0 (6-8 % in 2013)

_OLD_CATEGORY = {30: 2, 31: 5, 32: 4, 33: 5, 34: 4, 35: 99, 36: 99, 37: 18, 38: 18, 39: 99, 40: 19}
_GPS = {"971": "A", "972": "A", "973": "G", "974": "R", "976": "Y"}


def old_tables(
    rng: np.random.Generator, year: int, serial: Values, a: Columns, v: Columns, u: Columns
) -> dict[str, pd.DataFrame]:
    """Write the four tables of a year in the form of the files up to 2018."""
    label = vehicle_labels(rng, v, numbered=0.23 if year <= 2016 else 0.0, accidents=len(serial))
    users = users_kept(u, keep=~u["fled"])
    return {
        "caracteristiques": _old_accidents(rng, year, serial, a),
        "lieux": _old_places(rng, year, serial, a),
        "vehicules": _old_vehicles(year, serial, v, label),
        "usagers": _old_users(rng, year, serial, users, label),
    }


def _old_accidents(rng: np.random.Generator, year: int, serial: Values, a: Columns) -> pd.DataFrame:
    latitude, longitude, gps = _old_coordinates(rng, year, a)
    department, commune = _old_communes(year, a)
    return pd.DataFrame(
        {
            "Num_Acc": serial,
            "an": year % 100,
            "mois": a["month"],
            "jour": a["day"],
            "hrmn": a["hour"] * 100 + a["minute"],
            "lum": flaw(rng, a["light"], BLANK_LIGHT, ""),
            "agg": a["built_up"],
            "int": a["junction"],
            "atm": a["weather"],
            "col": a["collision"],
            "com": commune,
            "adr": "SYNTHETIC",
            "gps": gps,
            "lat": latitude,
            "long": longitude,
            "dep": department,
        }
    )


def old_coordinates_missing(year: int) -> tuple[float, float]:
    """(share empty, share zero) up to 2018: 0.52 and 0.14 in 2013, 0.03 and 0 in 2018, in between linear."""
    along = float(np.clip((year - 2013) / 5, 0, 1))
    return 0.52 - 0.49 * along, 0.14 - 0.14 * along


def _old_coordinates(rng: np.random.Generator, year: int, a: Columns) -> tuple[Values, Values, Values]:
    empty, zero = old_coordinates_missing(year)
    chance = rng.random(len(a["latitude"]))
    overseas = np.char.startswith(a["department"], "9") & (np.char.str_len(a["department"]) == 3)
    pair = []
    for name in ("latitude", "longitude"):
        value = np.rint(a[name] * 100_000).astype(np.int64)
        value = np.where(overseas, np.abs(value), value)  # the sign of overseas coordinates was lost
        value = np.where(chance < empty + zero, 0, value)
        pair.append(np.where(chance < empty, "", text("%07d", value)))
    gps = translate({name: _GPS.get(name, "M") for name in np.unique(a["department"])}, a["department"])
    return pair[0], pair[1], np.where(chance < empty, "", gps)


def _old_communes(year: int, a: Columns) -> tuple[Values, Values]:
    """Department as INSEE code + "0" (201, 202 for Corsica) and commune as three digits."""
    names = {"2A": "201", "2B": "202"}
    known = np.unique(a["department"])
    department = translate(
        {name: names.get(name, name if len(name) == 3 else f"{name}0") for name in known}, a["department"]
    )
    commune = np.array(text("%s", a["commune"]), dtype="U3")
    commune = np.where(np.char.str_len(commune) == 2, np.char.add("0", commune), commune)
    paris = (a["department"] == "75") & (year <= 2006)
    marseille = (
        (a["department"] == "13") & np.char.startswith(commune, "2") & (commune <= "216") & (commune > "200")
    )
    return department, np.where(paris, "056", np.where(marseille, "055", commune))


def _old_places(rng: np.random.Generator, year: int, serial: Values, a: Columns) -> pd.DataFrame:
    # Oddities of 2018: verge (3) for 39 % of accidents, hardly any widths and schools.
    odd = "_2018" if year == 2018 else ""
    position, school = a[f"position{odd}"], a[f"near_school{odd}"]
    unmeasured = rng.random(len(position)) < (0.77 if year == 2018 else 0.02)
    stated = rng.random(len(position)) >= (UNSTATED_PLACE if year <= 2016 else 0)
    nothing = np.full(len(position), "")
    columns: dict[str, Values] = {
        "catr": a["road_class"],
        "voie": road_number(rng, a),
        "v1": nothing,
        "v2": nothing,
        "circ": a["layout"],
        "nbv": text("%02d", flaw(rng, a["lanes"] * stated, WRONG_LANES, 50)),
        "pr": optional(a["milepost"]),
        "pr1": optional(a["milepost_distance"]),
        "vosp": a["reserved_lane"],
        "prof": a["gradient"] * stated,
        "plan": a["alignment"] * stated,
        "lartpc": np.where(unmeasured, "", text("%03d", a["reserve_width"])),
        "larrout": np.where(unmeasured, "", text("%03d", a["road_width"])),
        "surf": np.where(stated, a["surface"], 0),
        "infra": a["infrastructure"],
        "situ": position,
        "env1": text("%02d", school),
    }
    table = pd.DataFrame({"Num_Acc": serial, **columns})
    blank = rng.random(len(table)) < BLANK_PLACE
    kept = ("Num_Acc", "catr")
    return table.astype(dict.fromkeys(columns, object)).mask(
        np.outer(blank, [name not in kept for name in table]), ""
    )


def _old_vehicles(year: int, serial: Values, v: Columns, label: Values) -> pd.DataFrame:
    category = translate(_OLD_CATEGORY, v["category"], v["category"]) if year == 2005 else v["category"]
    return pd.DataFrame(
        {
            "Num_Acc": np.asarray(serial)[v["accident"]],
            "senc": v["direction"],
            "catv": text("%02d", category),
            "occutc": text("%03d", v["occupants"]),
            "obs": text("%02d", v["fixed_obstacle"]),
            "obsm": v["moving_obstacle"],
            "choc": v["impact"],
            "manv": text("%02d", v["manoeuvre"]),
            "num_veh": label,
        }
    )


def _old_users(
    rng: np.random.Generator, year: int, serial: Values, u: Columns, label: Values
) -> pd.DataFrame:
    missing = "0" if year <= 2008 else ""
    return pd.DataFrame(
        {
            "Num_Acc": np.asarray(serial)[u["accident"]],
            "place": optional(u["seat"], missing),
            "catu": u["role"],
            "grav": u["severity"],
            "sexe": u["sex"],
            "trajet": u["trip"],
            "secu": optional(u["equipment"], missing),
            "locp": u["pedestrian_location"],
            "actp": u["pedestrian_action"],
            "etatp": u["pedestrian_company"],
            "an_nais": birth_years(rng, year, u),
            "num_veh": np.asarray(label)[u["vehicle"]],
        }
    )
