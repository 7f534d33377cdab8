"""Real years as shares per context, for `calibrate_sample.py`; nothing of a single accident is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from accidents.data.sources.sample import severity
from accidents.data.sources.sample import tables as keys

PASSENGERS_2018 = 0.74  # by trial: real 2018 has 130,169 users for 57,783 accidents
SPEED_LIMITS = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 130)


def read(path: Path) -> pd.DataFrame:
    """Return a raw or processed file as text; numbers such as 07 or 1.0 are left for `codes`."""
    return pd.read_csv(path, encoding="latin-1", dtype=str)


def codes(column: pd.Series) -> np.ndarray:
    """Codes as integers, missing as 0."""
    return pd.to_numeric(column, errors="coerce").fillna(0).astype(int).to_numpy()


def table(
    values: np.ndarray, code_list: Any, parents: list[tuple[np.ndarray, int]], pseudo: float = 20
) -> dict[str, Any]:
    """Shares per 10,000 of `code_list` in each context, with `pseudo` accidents of the overall shares."""
    code_list = np.asarray(code_list)
    shape = [size for _, size in parents]
    order = np.argsort(code_list)
    at = order[np.clip(np.searchsorted(code_list[order], values), 0, len(code_list) - 1)]
    known = code_list[at] == values
    row = (
        np.ravel_multi_index([p for p, _ in parents], shape) if parents else np.zeros(len(values), dtype=int)
    )
    counts = np.zeros((int(np.prod(shape, dtype=int)), len(code_list)))
    np.add.at(counts, (row[known], at[known]), 1)
    overall = counts.sum(axis=0) / counts.sum()
    smooth = (counts + pseudo * overall) / np.maximum(counts.sum(axis=1, keepdims=True) + pseudo, 1)
    return {
        "codes": code_list.tolist(),
        "shape": shape,
        "shares": np.rint(smooth * 10_000).astype(int).ravel().tolist(),
    }


# ---------------------------------------------------------------- real years in the sample's own terms


def schemes_of(vehicles: pd.DataFrame) -> pd.Series:
    """Vehicle scheme of each accident, such as "cm" or "cP"."""
    group = pd.Series(codes(vehicles.catv)).map(keys.GROUP_OF_CATEGORY).fillna("o")
    frame = pd.DataFrame(
        {"id": vehicles.Num_Acc.to_numpy(), "group": group, "ped": codes(vehicles.obsm) == 1}
    )
    by = frame.sort_values("group").groupby("id")
    names = by.group.agg(lambda groups: "".join(groups)[: keys.MAX_VEHICLES])
    return names + by.ped.any().map({True: "P", False: ""})


def simplify(schemes: pd.Series, known: list[str]) -> np.ndarray:
    """Return the number of each scheme among the `known`.

    A rare one loses its last vehicles until it is known.
    """

    def nearest(scheme: str) -> str:
        while scheme not in known:
            vehicles = scheme.rstrip("P")
            pedestrian = "P" if scheme != vehicles else ""
            scheme = "c" + pedestrian if len(vehicles) == 1 else vehicles[:-1] + pedestrian
        return scheme

    lookup = {scheme: known.index(nearest(scheme)) for scheme in schemes.unique()}
    return schemes.map(lookup).to_numpy()


def repair_overseas(lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give back the signs that overseas coordinates lost up to 2018."""
    indian = (np.abs(lat) < 25) & (lon > 40) & (lon < 57) & ~((lat < 7) & (lon > 50))
    west = (np.abs(lat) < 25) & (lon > 50) & ~indian
    return np.where(indian, -np.abs(lat), lat), np.where(west, -np.abs(lon), lon)


def accident_year(folder: Path, year: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(accidents with place columns, vehicles) of a year, English names, missing codes as 0."""
    joint = "_" if year < 2017 else "-"
    c, p, v = (read(folder / f"{t}{joint}{year}.csv.gz") for t in ("caracteristiques", "lieux", "vehicules"))
    a = c.merge(p, on="Num_Acc")
    time = codes(a.hrmn)
    out = pd.DataFrame(
        {"id": a.Num_Acc, "month": codes(a.mois), "hour": np.clip(time // 100, 0, 23), "minute": time % 100}
    )
    for english, raw in severity.RAW_CODES.items():
        out[english] = codes(a[raw]) if raw in a else 0
    scale = 1.0 if year == 2018 else 1e5
    out["lat"], out["lon"] = repair_overseas(
        *(pd.to_numeric(a[k], errors="coerce") / scale for k in ("lat", "long"))
    )
    if "jour" in a:
        date = pd.to_datetime({"year": year, "month": codes(a.mois), "day": codes(a.jour)}, errors="coerce")
        out["weekday"] = date.dt.weekday.fillna(0).astype(int)
        dep = a.dep.str.zfill(3)
        out["department"] = np.where(
            dep.isin(["201", "202"]),
            dep.map({"201": "2A", "202": "2B"}),
            np.where(dep.str.startswith("97"), dep, dep.str[:2]),
        )
    out["scheme"] = out.id.map(schemes_of(v)).fillna("c")
    return out[out.road_class.isin(keys.ROAD_CLASSES)].reset_index(drop=True), v


def processed(folder: Path) -> pd.DataFrame:
    """Return the 2021 copy: one row per accident with place, speed limit, collision and label."""
    d = pd.read_csv(folder / "2021_worst_user_per_accident.csv.gz")
    d["department"] = d.dep.map(lambda n: {201: "2A", 202: "2B"}.get(n, f"{n:02d}"))
    commune = d.com.map(lambda n: f"2{'AB'[n // 1000 - 201]}{n % 1000:03d}" if n > 200_000 else f"{n:05d}")
    d["commune"] = np.where(d.department.str.startswith(("97", "98")), commune.str[3:], commune.str[2:])
    d["weekday"] = pd.to_datetime({"year": 2021, "month": d.mois, "day": d.jour}, errors="coerce").dt.weekday
    return d


# ---------------------------------------------------------------- places


def places(d: pd.DataFrame, departments: list[str]) -> dict[str, list[Any]]:
    """Communes with eight accidents or more; the others together per department and 0.25 degree cell."""
    d = d[(d.lat != 0) & (d.long != 0)].copy()
    d["many"] = d.groupby(["department", "commune"]).lat.transform("size") >= 8
    cell = (d.lat * 4).round().astype(int).astype(str) + "," + (d.long * 4).round().astype(int).astype(str)
    d["place"] = np.where(d.many, d.commune, cell)
    out: dict[str, list[Any]] = {
        k: [] for k in ("department", "commune", "lat", "lon", "spread", "inside", "outside")
    }
    for (department, _), rows in d.groupby(["department", "place"]):
        if len(rows) < 5:
            continue
        lat, lon = rows.lat.median(), rows.long.median()
        # Robust to mistyped coordinates: 1.48 median absolute deviations are a standard deviation.
        spread = 1.48 * max(float((rows.lat - lat).abs().median()), 0.004)
        inside = int((rows["agg_"] == 2).sum())
        values = (
            departments.index(department),
            rows.commune.mode()[0],
            round(lat, 2),
            round(lon, 2),
            round(spread, 3),
            inside,
            len(rows) - inside,
        )
        for name, value in zip(out, values, strict=True):
            out[name].append(value)
    return out


# ---------------------------------------------------------------- tables of accidents and vehicles


def accident_tables(
    a18: pd.DataFrame, a13: pd.DataFrame, d21: pd.DataFrame, schemes: list[str], deps: list[str]
) -> dict[str, Any]:
    """Shares of each accident and place column given what the sample draws before it."""
    for a in (a18, a13):
        a["s"] = simplify(a.scheme, schemes)
        a["cls"] = np.array([keys.scheme_class(s) for s in schemes])[a.s]
        a["shp"] = np.array([keys.scheme_shape(s) for s in schemes])[a.s]
        a["out"] = (a.built_up == 2).astype(int)
        a["grp"] = keys.road_group(a.road_class.to_numpy())
        a["jct"] = (a.junction > 1).astype(int)
        a["dep_i"] = a.department.map({x: i for i, x in enumerate(deps)}).fillna(0).astype(int)
        a["area"] = a.department.map(keys.area)
    e, t = a18, a13
    x = {k: e[k].to_numpy() for k in e}
    y = {k: t[k].to_numpy() for k in t}
    inside, junction, group = (x["out"], 2), (x["jct"], 2), (x["grp"], 5)
    road = np.searchsorted(keys.ROAD_CLASSES, x["road_class"])
    single = ((x["shp"] == 2).astype(int), 2)
    weekhour = y["weekday"] * 24 + y["hour"]
    located = e.lat.notna().to_numpy()
    separate = (d21.circ == 3).astype(int).to_numpy()
    road21 = np.searchsorted(keys.ROAD_CLASSES, d21.catr)
    r = range
    return {
        "road_class": table(
            x["road_class"][located],
            keys.ROAD_CLASSES,
            [(x["dep_i"][located], len(deps)), (x["out"][located], 2)],
        ),
        "road_class_2021": table(
            d21.catr.to_numpy(),
            keys.ROAD_CLASSES,
            [
                (d21.department.map(deps.index).to_numpy(), len(deps)),
                ((d21.agg_ == 2).astype(int).to_numpy(), 2),
            ],
        ),
        "scheme": table(x["s"], r(len(schemes)), [inside, group, (x["area"], keys.AREAS)], 50),
        "month": table(x["month"], r(1, 13), [(x["cls"], keys.CLASSES)]),
        "weekhour": table(weekhour, r(168), [(y["cls"], keys.CLASSES), (y["out"], 2)], 200),
        "light": table(x["light"], r(1, 6), [(x["month"] - 1, 12), (x["hour"], 24), inside], 2),
        "weather": table(x["weather"], r(1, 10), [(x["month"] - 1, 12)]),
        "surface": table(
            x["surface"], r(10), [(x["weather"], 10), (np.isin(x["month"], (12, 1, 2)).astype(int), 2)], 5
        ),
        "junction": table(x["junction"], r(1, 10), [inside, group]),
        "layout": table(x["layout"], r(5), [(road, 8), inside]),
        "lanes": table(x["lanes"], r(13), [(x["layout"], 5), group]),
        "gradient": table(x["gradient"], r(5), [inside, (x["area"], keys.AREAS)]),
        "alignment": table(x["alignment"], r(5), [inside, single, junction]),
        "infrastructure": table(x["infrastructure"], r(8), [group, junction]),
        "reserved_lane": table(x["reserved_lane"], r(4), [inside, group]),
        "position": table(y["position"], r(6), [(y["out"], 2), (y["shp"], keys.SHAPES)]),
        "position_2018": table(x["position"], r(6), [inside, (x["shp"], keys.SHAPES)]),
        "near_school_2018": table(x["near_school"], (0, 3, 99), [inside]),
        "near_school": table(y["near_school"], (0, 3, 99), [(y["out"], 2)]),
        "road_width": table(y["road_width"], (0, *r(25, 155, 5), 180, 210), [(y["grp"], 5)]),
        "collision": table(
            y["collision"], r(1, 8), [(y["shp"], keys.SHAPES), (y["out"], 2), (y["jct"], 2), (y["grp"], 5)]
        ),
        "speed_limit": table(
            d21.vma.to_numpy().astype(int),
            SPEED_LIMITS,
            [(road21, 8), ((d21.agg_ == 2).astype(int).to_numpy(), 2), (separate, 2)],
        ),
        "minute": table(x["minute"], r(60), []),
    }


def vehicle_tables(
    v18: pd.DataFrame, a18: pd.DataFrame, v13: pd.DataFrame, a13: pd.DataFrame
) -> dict[str, Any]:
    """Shares of each vehicle column given the vehicle's group and the accident's shape."""
    out: dict[str, dict[str, Any]] = {}
    for year, v, a in ((2018, v18, a18), (2013, v13, a13)):
        v = v.merge(a[["id", "shp", "out", "jct", "collision"]], left_on="Num_Acc", right_on="id")
        names = pd.Series(codes(v.catv)).map(keys.GROUP_OF_CATEGORY).fillna("o")
        group = (names.map(keys.GROUPS.index).to_numpy(), len(keys.GROUPS))
        shape, inside, junction = (
            (v.shp.to_numpy(), keys.SHAPES),
            (v.out.to_numpy(), 2),
            (v.jct.to_numpy(), 2),
        )
        categories = [*sorted(set(keys.GROUP_OF_CATEGORY) - {41, 42, 43, 50, 60, 80}), 20, 21, 35, 36, 99]
        out[f"category_{year}"] = table(codes(v.catv), sorted(categories), [group], 0)
        if year == 2013:
            collision = (v.collision.to_numpy(), 8)
            out["impact"] = table(codes(v.choc), range(10), [shape, collision], 5)
            continue
        out["fixed_obstacle"] = table(codes(v.obs), range(17), [shape, inside, group])
        out["moving_obstacle"] = table(codes(v.obsm), (0, 1, 2, 4, 5, 6, 9), [shape, group])
        out["manoeuvre"] = table(codes(v.manv), range(25), [shape, junction, group])
    return out


# ---------------------------------------------------------------- users


def user_tables(folder: Path) -> tuple[dict[str, Any], list[float], pd.DataFrame]:
    """Tables of users' columns, log-odds of a slight injury by role, and the 50,000 users of 2005-2019."""
    u = pd.read_csv(folder / "processed" / "2005-2019_users_sample_50k.csv.gz")
    u = u[u.catu.isin([1, 2, 3]) & u.sexe.isin([1, 2])]
    u["group"] = u.catv.map(keys.GROUP_OF_CATEGORY).fillna("o").map(keys.GROUPS.index)
    u["age"] = np.clip(u.annee - u.an_nais, 0, 99)
    u["band"] = (u.age // 5).fillna(7).astype(int)
    role = (u.catu.to_numpy() - 1, 3)
    group = (u.group.to_numpy(), len(keys.GROUPS))
    h = {
        t: read(folder / "2016-head" / f"{t}_2016.csv.gz")
        for t in ("usagers", "vehicules", "caracteristiques")
    }
    w = h["usagers"].merge(h["vehicules"][["Num_Acc", "num_veh", "catv"]], on=["Num_Acc", "num_veh"])
    w = w.merge(h["caracteristiques"][["Num_Acc", "hrmn"]], on="Num_Acc")
    w = w[codes(w.catu) <= 3]
    role16 = (codes(w.catu) - 1, 3)
    group16 = (
        pd.Series(codes(w.catv)).map(keys.GROUP_OF_CATEGORY).fillna("o").map(keys.GROUPS.index).to_numpy(),
        9,
    )
    period = (keys.period(codes(w.hrmn) // 100), 4)
    passengers = w[codes(w.catu) == 2].groupby(["Num_Acc", "num_veh"]).size().rename("n")
    v = h["vehicules"].merge(passengers, on=["Num_Acc", "num_veh"], how="left")
    vgroup = (
        pd.Series(codes(v.catv)).map(keys.GROUP_OF_CATEGORY).fillna("o").map(keys.GROUPS.index).to_numpy(),
        9,
    )
    walkers = w[codes(w.catu) == 3].groupby("Num_Acc").size()
    foot = w[codes(w.catu) == 3]
    seated = codes(w.catu) == 2
    tables = {
        "passengers": fewer_passengers(table(np.minimum(codes(v.n), 6), range(7), [vgroup], 5)),
        "pedestrians": table(np.minimum(walkers.to_numpy(), 4), (1, 2, 3, 4), []),
        "sex": table(u.sexe.to_numpy(), (1, 2), [role, group]),
        "age_band": table(u.band.to_numpy(), range(20), [role, group]),
        "trip": table(codes(w.trajet), (0, 1, 2, 3, 4, 5, 9), [role16, period]),
        "equipment": table(
            codes(w.secu),
            (0, 1, 2, 3, 11, 12, 13, 21, 22, 23, 31, 32, 33, 41, 43, 91, 93),
            [role16, group16],
            3,
        ),
        "seat": table(codes(w.place)[seated], range(2, 10), [(group16[0][seated], 9)], 3),
        "pedestrian_location": table(codes(foot.locp), range(9), []),
        "pedestrian_action": table(codes(foot.actp), (0, 1, 2, 3, 4, 5, 6, 9), []),
        "pedestrian_company": table(codes(foot.etatp), (0, 1, 2, 3), []),
    }
    hurt = codes(w.grav)
    slight = [severity.log_odds(hurt[(role16[0] == r) & np.isin(hurt, (1, 4))] == 4) for r in range(3)]
    return tables, slight, u


def fewer_passengers(passengers: dict[str, Any]) -> dict[str, Any]:
    """Bring the first accidents of 2016, which had more passengers than 2018, to its 2.25 users each."""
    shares = np.array(passengers["shares"]).reshape(-1, len(passengers["codes"]))
    shares[:, 1:] = np.rint(shares[:, 1:] * PASSENGERS_2018)
    shares[:, 0] = 10_000 - shares[:, 1:].sum(axis=1)
    return passengers | {"shares": shares.ravel().tolist()}
