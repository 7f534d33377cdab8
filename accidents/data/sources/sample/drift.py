"""Changes to the last year of the sample, for trying what watches a model (see `sample.Drift`)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from accidents.data.sources.sample.tables import GROUPS, Calibration, Columns, Doubles, Flags, period

LOCKDOWN_MONTHS = (3, 4, 5)
LOCKDOWN_KEPT = 0.5
NEW_VEHICLE_SHARE = 0.12  # of accidents of cars alone in built-up areas that become a device against a car
DEVICE_SHARE = 0.6  # of bicycles and mopeds in built-up areas that become a device
SPEED_LIMIT_EFFECT = 0.2  # log-odds, on the roads that change
SEVERITY_EFFECT = 0.6  # log-odds
BROKEN_FIELD = "lum"


def change_accidents(rng: np.random.Generator, calibration: Calibration, a: Columns, drift: str) -> Columns:
    """Change the accidents themselves: fewer of them, other vehicles or limits."""
    if drift == "lockdown":
        return _thin(rng, a)
    if drift == "new_vehicle":
        _mix_in_devices(rng, calibration, a)
    if drift == "speed_limit":
        a["speed_limit"] = np.where(_changed_limit(a) & (a["speed_limit"] == 80), 90, a["speed_limit"])
    return a


def _thin(rng: np.random.Generator, a: Columns) -> Columns:
    """Drop half the accidents of the lockdown months: rush hours of working days most, nights least."""
    locked = np.isin(a["month"], LOCKDOWN_MONTHS)
    rush = np.isin(period(a["hour"]), (0, 2)) & (a["weekday"] < 5)
    kept = np.where(rush, 0.6, np.where(period(a["hour"]) == 3, 1.5, 1.1))
    kept = kept * LOCKDOWN_KEPT / kept[locked].mean() if locked.any() else kept
    keep = ~locked | (rng.random(len(locked)) < kept)
    return {name: values[keep] for name, values in a.items()}


def _mix_in_devices(rng: np.random.Generator, calibration: Calibration, a: Columns) -> None:
    for cars, device in (("c", "b"), ("cc", "bc")):
        chosen = (a["scheme"] == calibration.schemes.index(cars)) & (a["built_up"] == 2)
        chosen &= rng.random(len(chosen)) < NEW_VEHICLE_SHARE
        a["scheme"] = np.where(chosen, calibration.schemes.index(device), a["scheme"])


def _changed_limit(a: Columns) -> Flags:
    """Accidents on departmental roads outside built-up areas."""
    changed: Flags = (a["road_class"] == 3) & (a["built_up"] == 1)
    return changed


def change_vehicles(rng: np.random.Generator, v: Columns, a: Columns, drift: str) -> None:
    """Turn bicycles and mopeds of built-up areas into personal mobility devices."""
    if drift != "new_vehicle":
        return
    small = np.isin(v["group"], (GROUPS.index("b"), GROUPS.index("l"))) & (a["built_up"][v["accident"]] == 2)
    device = small & (rng.random(len(small)) < DEVICE_SHARE)
    v["category"] = np.where(device, 50, v["category"])
    v["group"] = np.where(device, GROUPS.index("e"), v["group"])
    v["engine"] = np.where(device, 3, v["engine"])


def change_users(rng: np.random.Generator, u: Columns, a: Columns, drift: str) -> None:
    """Turn half the trips to work and school of the lockdown months into leisure."""
    if drift == "lockdown":
        locked = np.isin(a["month"][u["accident"]], LOCKDOWN_MONTHS) & np.isin(u["trip"], (1, 2))
        u["trip"] = np.where(locked & (rng.random(len(locked)) < 0.5), 5, u["trip"])


def severity_change(a: Columns, drift: str) -> Doubles:
    """Return what the drift adds to the log-odds (n,) of being severe."""
    if drift == "severity_shift":
        return np.full(len(a["hour"]), SEVERITY_EFFECT)
    if drift == "speed_limit":
        return np.where(_changed_limit(a), SPEED_LIMIT_EFFECT, 0.0)
    return np.zeros(len(a["hour"]))


def change_coordinates(a: Columns, drift: str) -> None:
    """Shift the decimal mark of the coordinates by one place: 48.9 becomes 4.89, in the Atlantic."""
    if drift == "coordinate_units":
        a["latitude"], a["longitude"] = a["latitude"] / 10, a["longitude"] / 10


def break_field(tables: dict[str, pd.DataFrame], year: int, drift: str) -> dict[str, pd.DataFrame]:
    """Leave a whole column without values."""
    if drift == "broken_field":
        tables["caracteristiques"][BROKEN_FIELD] = "" if year <= 2018 else " -1"
    return tables
