"""Derive the aggregates the sample is drawn from, out of real published years.

    python -m benchmarks.calibrate_sample --baac ../shared/baac

writes accidents/data/sources/sample/calibration.json. Only shares per context, fitted coefficients and
accident counts per place (five accidents or more) are written: nothing of a single accident.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import brentq
from scipy.spatial import cKDTree
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from accidents.data.sources.sample import draw_accidents, severity
from accidents.data.sources.sample import tables as keys
from benchmarks.sample_aggregates import (
    SPEED_LIMITS,
    accident_tables,
    accident_year,
    codes,
    places,
    processed,
    read,
    user_tables,
    vehicle_tables,
)

LATEST = 2021  # the year whose processed copy has places, speed limits and collisions
SPREAD = 1.28  # by trial: see tests/accidents/data/test_sample.py for the ROC-AUC it must give


def user_risk(u: pd.DataFrame) -> dict[str, Any]:
    """Log-odds of being killed or hospitalised by role, vehicle group and age band, and the yearly level."""
    severe = u.grav.isin([2, 3]).to_numpy()
    who = u.catu.to_numpy() - 1
    index = {
        "role_group": who * len(keys.GROUPS) + u.group.to_numpy(),
        "role_age": who * 20 + u.band.to_numpy(),
        "year": u.annee.to_numpy() - 2005,
    }
    sizes = {"role_group": 3 * len(keys.GROUPS), "role_age": 60, "year": 15}
    fitted, _ = fit(index, sizes, severe, penalty=0.3)
    return {name: round_all(values) for name, values in fitted.items()}


# ---------------------------------------------------------------- severity


def one_hot(index: dict[str, np.ndarray], sizes: dict[str, int]) -> Any:
    """Sparse 0/1 matrix, one block of columns a term; a term may be an (n, size) matrix of counts already."""
    blocks = []
    for name, size in sizes.items():
        values = index[name]
        if values.ndim == 2:
            blocks.append(sparse.csr_matrix(values))
            continue
        n = len(values)
        blocks.append(sparse.csr_matrix((np.ones(n), (np.arange(n), values)), shape=(n, size)))
    return sparse.hstack(blocks).tocsr()


def fit(
    index: dict[str, Any], sizes: dict[str, int], target: np.ndarray, penalty: float = 1.0
) -> tuple[dict[str, Any], float]:
    """Ridge logistic regression on one-hot terms: (coefficients per term, intercept)."""
    model = LogisticRegression(C=penalty, max_iter=2000, tol=1e-5).fit(one_hot(index, sizes), target)
    ends = np.cumsum(list(sizes.values()))[:-1]
    return dict(zip(sizes, np.split(model.coef_[0], ends), strict=True)), float(model.intercept_[0])


def round_all(values: np.ndarray) -> list[float]:
    """Round each to two decimals."""
    return [round(float(v), 2) for v in values]


def fit_severity(
    a: pd.DataFrame, v: pd.DataFrame, y: np.ndarray, n_schemes: int, n_deps: int, schemes: list[str]
) -> dict[str, Any]:
    """Coefficients of the accident's logit, with vehicles' obstacle and impact, fitted on 2018 together."""
    columns = {k: a[k].to_numpy() for k in a}
    columns["scheme"], columns["department_index"] = columns["s"], columns["dep_i"]
    terms = severity.accident_terms(columns, np.array([keys.scheme_class(s) for s in schemes]))
    sizes = severity.accident_sizes(n_schemes, n_deps)
    at = pd.Series(np.arange(len(a)), index=a.id)
    v = v[v.Num_Acc.isin(at.index)]
    row = at[v.Num_Acc].to_numpy()
    for name, raw, size in (("fixed_obstacle", "obs", 17), ("impact", "choc", 10)):
        counts = np.zeros((len(a), size))
        np.add.at(counts, (row, codes(v[raw])), 1)
        terms[name], sizes[name] = np.minimum(counts, 2), size
    fitted, intercept = fit(terms, sizes, y, 0.5)
    return {"intercept": intercept, "terms": {k: round_all(c) for k, c in fitted.items()}}


def fit_2021(d: pd.DataFrame, deps: list[str]) -> dict[str, Any]:
    """Add what 2018 cannot tell: weekend, speed limit (centred within road and area), manner of collision."""
    inside = (d.agg_ == 2).astype(int).to_numpy()
    road = np.searchsorted(keys.ROAD_CLASSES, d.catr) * 2 + inside
    weekday = d.weekday.fillna(0).astype(int).to_numpy()
    limit = np.clip(np.searchsorted(SPEED_LIMITS, d.vma), 0, len(SPEED_LIMITS) - 1)
    index = {
        "road": road,
        "weekday": weekday,
        "speed_limit": limit,
        "collision": d.col.to_numpy().astype(int),
        "hour": d.hour.to_numpy().astype(int) * 2 + inside,
        "light": d.lum.to_numpy() * 2 + inside,
        "layout": d.circ.to_numpy().astype(int),
        "junction": d.int.to_numpy(),
        "department": d.department.map(deps.index).to_numpy(),
        "vehicles": np.minimum(d.nb_vehicules, 5).to_numpy(),
        "hit": d.catv.to_numpy().astype(int),
    }
    sizes = {k: int(v.max()) + 1 for k, v in index.items()} | {
        "speed_limit": len(SPEED_LIMITS),
        "collision": 8,
    }
    fitted, _ = fit(index, sizes, d.grav_binary.to_numpy(), 0.5)
    # A higher limit never lowers the risk in the sample's truth: physics says so, the few odd limits do not.
    rising = np.maximum.accumulate(fitted["speed_limit"])
    return {
        "weekday": round_all(fitted["weekday"] - fitted["weekday"].mean()),
        "speed_limit": round_all(rising),
        "speed_limits": list(SPEED_LIMITS),
        "collision": round_all(fitted["collision"]),
    }


def main() -> None:
    """Fit what the sample follows, and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--baac", type=Path, required=True, help="folder of real files (2013/, 2018/, processed/ ...)"
    )
    parser.add_argument("--output", type=Path, default=keys.CALIBRATION)
    arguments = parser.parse_args()
    baac = arguments.baac
    a18, v18 = accident_year(baac / "2018", 2018)
    a13, v13 = accident_year(baac / "2013", 2013)
    d21 = processed(baac / "processed")
    departments = sorted(d21.department.unique())
    tree = cKDTree(d21[["lat", "long"]].to_numpy())
    located = a18.lat.notna()
    nearest = tree.query(a18.loc[located, ["lat", "lon"]].to_numpy())[1]
    a18.loc[located, "department"] = d21.department.to_numpy()[nearest]
    a18["department"] = a18.department.ffill()  # serials run in blocks of departments up to 2018
    counts = a18.scheme.value_counts()
    schemes = sorted(counts[counts >= 20].index)
    tables = accident_tables(a18, a13, d21, schemes, departments) | vehicle_tables(v18, a18, v13, a13)
    users_of, slight, users = user_tables(baac)
    grav = read(baac / "2018" / "usagers-2018.csv.gz")
    severe = a18.id.map(grav.grav.isin(["2", "3"]).groupby(grav.Num_Acc).any()).to_numpy().astype(int)
    killed = a18.id.map((grav.grav == "2").groupby(grav.Num_Acc).any()).to_numpy()
    fitted = fit_severity(a18, v18, severe, len(schemes), len(departments), schemes)
    key = a18.out * 5 + a18.grp
    shares = [severity.log_odds(killed[(key == k) & (severe == 1)]) for k in range(10)]
    share = {
        year: np.array([(d == x).mean() for x in departments])
        for year, d in ((2013, a13.department), (LATEST, d21.department))
    }
    content = {
        "about": "Aggregates of BAAC 2013-2021 (Licence Ouverte 2.0), by benchmarks/calibrate_sample.py",
        "schemes": schemes,
        "departments": departments,
        "department_share": {year: [round(float(s), 5) for s in values] for year, values in share.items()},
        "severity": fitted
        | {"centre": 0.0, "level": 0.0, "spread": 1.0}
        | fit_2021(d21, departments)
        | {"killed": shares},
        "users": {"slight": slight} | user_risk(users),
        "tables": tables | users_of,
        "places": places(d21, departments),
    }
    arguments.output.write_text(dump(content), encoding="utf-8")
    content["severity"] |= level(arguments.output, float(severe.mean()))
    arguments.output.write_text(dump(content), encoding="utf-8")


def level(path: Path, prevalence: float) -> dict[str, float]:
    """Centre of the sample's logit, and the level at which synthetic 2018 is as often severe as real 2018."""
    calibration = keys.load_calibration(path)
    a = draw_accidents.draw_accidents(calibration, 2018, 60_000, seed=7)
    v = draw_accidents.draw_vehicles(draw_accidents.stream(7, 2018, "vehicles"), calibration, a, 2018)
    u = draw_accidents.draw_users(draw_accidents.stream(7, 2018, "users"), calibration, a, v)
    score = severity.accident_logit(calibration, a, v, u, 2018, seed=7)
    at = brentq(lambda shift: expit(SPREAD * (score - score.mean()) + shift).mean() - prevalence, -5, 5)
    return {"centre": round(float(score.mean()), 4), "level": round(at, 4), "spread": SPREAD}


def dump(content: dict[str, Any]) -> str:
    """JSON with one line a part, so that a change shows where it is."""

    def part(value: Any, depth: int) -> str:
        if depth == 0 or not isinstance(value, dict):
            return json.dumps(value, separators=(",", ":"))
        lines = [f"{json.dumps(str(key))}:{part(inner, depth - 1)}" for key, inner in value.items()]
        return "{\n" + ",\n".join(lines) + "\n}"

    return part(content, 2) + "\n"


if __name__ == "__main__":
    main()
