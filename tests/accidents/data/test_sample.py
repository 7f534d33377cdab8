"""The synthetic years: same bytes for same arguments, readable in every era, as informative as real ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

from accidents.data.quality import QualityReport
from accidents.data.reading import read_year
from accidents.data.sources import sample
from accidents.data.sources.sample import severity, write_sample
from accidents.data.sources.sample.draw_accidents import draw_accidents
from accidents.data.sources.sample.tables import Calibration, load_calibration
from accidents.data.sources.year_files import YearFiles, find_years
from accidents.data.tables import Tables
from accidents.errors import SettingsError
from accidents.features import build_features

ERAS = (2005, 2009, 2013, 2016, 2018, 2019, 2021, 2022, 2023, 2024, 2026)
SMALL = 400
LARGEST_AUC_GAP = 0.02


@pytest.fixture(scope="module")
def eras(tmp_path_factory: pytest.TempPathFactory) -> dict[int, YearFiles]:
    return write_sample(tmp_path_factory.mktemp("eras"), ERAS, accidents_per_year=SMALL)


def make(folder: Path, year: int, drift: str = "none", size: int = 6000) -> tuple[Tables, QualityReport]:
    """The tables of one synthetic year."""
    return read_year(write_sample(folder, [year], accidents_per_year=size, drift=drift)[year])


def digests(files: YearFiles) -> dict[str, str]:
    return {table: hashlib.sha256(path.read_bytes()).hexdigest() for table, path in files.paths.items()}


def severe(tables: Tables) -> pd.Series:
    """Whether each accident is severe, by its id."""
    return tables.users.severity.isin([2, 3]).groupby(tables.users.accident_id).any()


# ---------------------------------------------------------------- what is written


def test_files_are_found_under_their_official_names(eras: dict[int, YearFiles]) -> None:
    assert find_years(eras[2005].paths["lieux"].parent.parent) == eras
    names = [eras[year].paths["caracteristiques"].name for year in (2016, 2018, 2022, 2024)]
    assert names == [
        "caracteristiques_2016.csv",
        "caracteristiques-2018.csv",
        "carcteristiques-2022.csv",
        "caract-2024.csv",
    ]


def test_a_note_and_every_address_say_synthetic(eras: dict[int, YearFiles]) -> None:
    folder = eras[2018].paths["lieux"].parent.parent
    assert "SYNTHETIC" in (folder / "SYNTHETIC.txt").read_text(encoding="utf-8")
    table = pd.read_csv(eras[2018].paths["caracteristiques"], encoding="latin-1")
    assert set(table["adr"]) == {"SYNTHETIC"}


def test_the_old_form_has_its_quirks(eras: dict[int, YearFiles]) -> None:
    assert "\t" in eras[2009].paths["caracteristiques"].read_text(encoding="latin-1").splitlines()[0]
    table = pd.read_csv(eras[2013].paths["caracteristiques"], encoding="latin-1", dtype=str)
    assert set(table["an"]) == {"13"}
    assert table["hrmn"].str.fullmatch(r"[1-9]?\d{0,3}").all()
    assert table["lat"].dropna().str.fullmatch(r"-?\d{6,7}").all()
    assert table["lat"].isna().mean() == pytest.approx(0.52, abs=0.1)
    assert set(table["dep"].str.len()) == {3}
    assert b"\r\n" in eras[2013].paths["lieux"].read_bytes()
    vehicles = pd.read_csv(eras[2013].paths["vehicules"], dtype=str)
    assert vehicles["catv"].str.len().eq(2).all()


def test_the_new_form_has_its_quirks(eras: dict[int, YearFiles]) -> None:
    accidents = pd.read_csv(eras[2022].paths["caracteristiques"], sep=";", dtype=str)
    assert accidents.columns[0] == "Accident_Id"
    assert accidents["lat"].str.contains(",").all()
    assert accidents["hrmn"].str.fullmatch(r"\d\d:\d\d").all()
    users = {year: pd.read_csv(eras[year].paths["usagers"], sep=";", dtype=str) for year in (2019, 2021)}
    assert "id_usager" not in users[2019]
    assert "id_usager" in users[2021]
    assert users[2021]["id_vehicule"].str.contains("\u00a0").all()
    assert (users[2021]["secu3"] == " -1").all()
    assert (users[2021]["sexe"] == " -1").any(), "drivers who fled are listed since 2021"
    assert not (users[2019]["sexe"] == " -1").any()


def test_several_places_an_accident_since_2024(eras: dict[int, YearFiles]) -> None:
    rows = {year: len(pd.read_csv(eras[year].paths["lieux"], sep=";")) for year in (2023, 2024)}
    assert rows[2023] == SMALL
    assert rows[2024] > 1.2 * SMALL


# ---------------------------------------------------------------- determinism


def test_same_arguments_give_the_same_bytes_whichever_years_are_beside(tmp_path: Path) -> None:
    alone = write_sample(tmp_path / "alone", [2018], accidents_per_year=SMALL)
    among = write_sample(tmp_path / "among", [2021, 2018, 2013], accidents_per_year=SMALL)
    assert digests(alone[2018]) == digests(among[2018])


def test_another_seed_gives_another_year(tmp_path: Path) -> None:
    first = write_sample(tmp_path / "7", [2018], accidents_per_year=SMALL)
    second = write_sample(tmp_path / "8", [2018], accidents_per_year=SMALL, seed=8)
    assert not set(digests(first[2018]).values()) & set(digests(second[2018]).values())


def test_a_year_that_is_there_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_sample(tmp_path, [2018], accidents_per_year=10)
    with monkeypatch.context() as patch:
        patch.setattr(sample, "make_year", None)  # it would fail
        assert write_sample(tmp_path, [2018], accidents_per_year=10) == first


@pytest.mark.parametrize("change", ["arguments", "code", "a file", "a file lost", "the note"])
def test_a_year_of_which_anything_has_changed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    files = write_sample(tmp_path, [2018], accidents_per_year=10)[2018]
    before = digests(files)
    if change == "code":
        monkeypatch.setattr(sample.manifest, "code_version", lambda *_: "another")
    elif change == "a file":
        files.paths["lieux"].write_bytes(files.paths["lieux"].read_bytes().replace(b"0", b"1"))
    elif change == "a file lost":
        files.paths["lieux"].unlink()
    elif change == "the note":
        (tmp_path / "2018" / ".made.json").write_text("[", encoding="utf-8")
    made_again: list[int] = []
    make_year = sample.make_year
    monkeypatch.setattr(sample, "make_year", lambda *words: made_again.append(words[1]) or make_year(*words))
    again = write_sample(tmp_path, [2018], accidents_per_year=10, seed=8 if change == "arguments" else 7)
    assert made_again == [2018]
    assert (digests(again[2018]) == before) is (change != "arguments")


def test_an_earlier_run_is_replaced_and_leaves_no_rest(tmp_path: Path) -> None:
    write_sample(tmp_path, [2018], accidents_per_year=SMALL)
    again = write_sample(tmp_path, [2018], accidents_per_year=10)
    assert len(pd.read_csv(again[2018].paths["lieux"])) == 10
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"years": [2004]}, "2005"),
        ({"years": []}, "2005"),
        ({"accidents_per_year": 0}, "accidents_per_year"),
        ({"seed": -1}, "seed"),
        ({"drift": "earthquake"}, "lockdown"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(tmp_path: Path, arguments: dict, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        write_sample(tmp_path / "never", **({"years": [2018]} | arguments))
    assert not (tmp_path / "never").exists()


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("year", ERAS)
def test_every_era_is_read_whole(eras: dict[int, YearFiles], year: int) -> None:
    tables, report = read_year(eras[year])
    assert len(tables.accidents) == len(tables.places) == SMALL
    dropped = report.to_frame().query("action == 'dropped'")
    assert set(dropped["table"]) <= ({"places"} if year >= 2024 else set())
    assert (tables.accidents["year"] == year).all()
    assert set(tables.users.accident_id) == set(tables.accidents.accident_id)
    victims = tables.users.severity.isin([2, 3, 4]).groupby(tables.users.accident_id).any()
    assert victims.all(), "an injury accident has someone injured"
    keys = tables.vehicles[["accident_id", "vehicle_id"]]
    assert not keys.duplicated().any()
    known = tables.accidents.latitude.notna()
    assert known.mean() == pytest.approx(
        {2018: 0.97}.get(year, 1.0 if year >= 2019 else known.mean()), abs=0.02
    )
    inside = tables.accidents.latitude[known].between(-30, 52)
    assert inside.all()


# ---------------------------------------------------------------- the truth


def test_the_truth_rises_with_speed_limit_pedestrians_and_two_wheelers() -> None:
    calibration = load_calibration()
    assert np.all(np.diff(calibration.severity["speed_limit"]) >= 0)
    accidents = draw_accidents(calibration, 2021, 2000, seed=7)
    for safer, riskier in (("c", "cP"), ("c", "m"), ("c", "b"), ("cc", "cm"), ("cc", "bc"), ("cc", "ccP")):
        assert mean_logit(calibration, accidents, riskier) > mean_logit(calibration, accidents, safer) + 0.2


def mean_logit(calibration: Calibration, accidents: dict, scheme: str) -> float:
    """Mean of the terms of the logit if every accident had this scheme."""
    changed = accidents | {"scheme": np.full(len(accidents["hour"]), calibration.schemes.index(scheme))}
    terms = severity.accident_terms(changed, calibration.class_of_scheme)
    return float(
        sum(np.mean(np.asarray(calibration.severity["terms"][k])[level]) for k, level in terms.items())
    )


def test_a_fled_driver_is_never_the_severe_victim(tmp_path: Path) -> None:
    tables, _ = make(tmp_path, 2021)
    fled = tables.users[tables.users.vehicle_id.str.startswith("Z") & (tables.users.role == 1)]
    assert len(fled) > 20
    assert set(fled.severity.dropna()) == {1}


# ---------------------------------------------------------------- drift


def test_drift_changes_the_last_year_only(tmp_path: Path) -> None:
    plain = write_sample(tmp_path / "plain", [2021, 2022], accidents_per_year=SMALL)
    moved = write_sample(tmp_path / "moved", [2021, 2022], accidents_per_year=SMALL, drift="severity_shift")
    assert digests(plain[2021]) == digests(moved[2021])
    assert digests(plain[2022]) != digests(moved[2022])


def test_severity_shift_changes_labels_and_nothing_else(tmp_path: Path) -> None:
    plain, _ = make(tmp_path / "plain", 2022)
    moved, _ = make(tmp_path / "moved", 2022, "severity_shift")
    for name in ("accidents", "places", "vehicles"):
        pd.testing.assert_frame_equal(getattr(plain, name), getattr(moved, name))
    pd.testing.assert_frame_equal(plain.users.drop(columns="severity"), moved.users.drop(columns="severity"))
    assert severe(moved).mean() > severe(plain).mean() + 0.06


def test_lockdown_halves_spring_and_spares_nights(tmp_path: Path) -> None:
    plain, _ = make(tmp_path / "plain", 2020)
    locked, _ = make(tmp_path / "locked", 2020, "lockdown")

    def spring(tables: Tables) -> pd.DataFrame:
        return tables.accidents[tables.accidents.month.between(3, 5)]

    assert len(spring(locked)) / len(spring(plain)) == pytest.approx(0.5, abs=0.05)
    assert len(locked.accidents) - len(spring(locked)) == len(plain.accidents) - len(spring(plain))
    night = [(spring(t).hour.lt(6) | spring(t).hour.ge(20)).mean() for t in (plain, locked)]
    assert night[1] > 1.2 * night[0]


def test_new_vehicle_makes_devices_surge(tmp_path: Path) -> None:
    shares = [
        (make(tmp_path / d, 2022, d)[0].vehicles.category == 50).mean() for d in ("none", "new_vehicle")
    ]
    assert shares[1] > 3 * shares[0]


def test_speed_limit_moves_departmental_roads_to_90(tmp_path: Path) -> None:
    for drift, share_at_80 in (("none", 0.7), ("speed_limit", 0.0)):
        tables, _ = make(tmp_path / drift, 2022, drift)
        outside = (tables.accidents.built_up == 1).to_numpy() & (tables.places.road_class == 3).to_numpy()
        assert (tables.places.speed_limit[outside] == 80).mean() == pytest.approx(share_at_80, abs=0.15)


def test_broken_field_is_all_missing(tmp_path: Path) -> None:
    for year in (2018, 2022):
        tables, _ = make(tmp_path, year, "broken_field", size=SMALL)
        assert tables.accidents.light.isna().all()
        assert tables.accidents.weather.notna().any()


@pytest.mark.parametrize("year", [2018, 2022])
def test_coordinate_units_puts_france_elsewhere(tmp_path: Path, year: int) -> None:
    raw = {}
    for drift in ("none", "coordinate_units"):
        files = write_sample(tmp_path / drift, [year], accidents_per_year=SMALL, drift=drift)[year]
        separator = ";" if year >= 2019 else ","
        raw[drift] = pd.read_csv(
            files.paths["caracteristiques"], sep=separator, decimal=",", dtype={"lat": str}
        )
    degrees = {drift: pd.to_numeric(table["lat"].str.replace(",", ".")) for drift, table in raw.items()}
    assert degrees["none"].median() / degrees["coordinate_units"].median() == pytest.approx(10, rel=0.01)


# ---------------------------------------------------------------- as real


def auc(tables: Tables, folds: int = 3) -> float:
    """ROC-AUC in cross-validation of a small model on what real 2018 has of the dispatch features."""
    rows = build_features(tables, "dispatch")
    absent = ["accident_id", "year", "severe", "department", "commune", "weekday", "speed_limit"]
    matrix, label = rows.drop(columns=absent).to_numpy(dtype=np.float32), rows["severe"].to_numpy()
    settings = {"objective": "binary", "num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 60,
                "feature_fraction": 0.6, "num_threads": 1, "verbosity": -1, "seed": 1}  # fmt: skip
    predicted = np.zeros(len(label))
    for train, test in KFold(folds, shuffle=True, random_state=0).split(matrix):
        booster = lgb.train(settings, lgb.Dataset(matrix[train], label[train]), num_boost_round=120)
        predicted[test] = booster.predict(matrix[test])
    return float(roc_auc_score(label, predicted))


def test_the_signal_is_as_strong_as_documented(tmp_path: Path) -> None:
    tables, _ = make(tmp_path, 2018, size=12_000)
    assert severe(tables).mean() == pytest.approx(0.387, abs=0.015)
    # Real 2018 thinned to a fifth gives 0.775 to 0.789; a test below compares all of it.
    assert auc(tables) == pytest.approx(0.78, abs=LARGEST_AUC_GAP)


@pytest.mark.slow
@pytest.mark.realdata
def test_the_signal_is_as_strong_as_in_real_2018(tmp_path: Path, baac: Path) -> None:
    real, _ = read_year(find_years(baac / "2018")[2018])
    sample, _ = make(tmp_path, 2018, size=len(real.accidents))
    assert auc(sample) == pytest.approx(auc(real), abs=LARGEST_AUC_GAP)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("table", "column", "distance"),
    [
        ("accidents", "month", 0.02), ("accidents", "light", 0.04), ("accidents", "built_up", 0.02),
        ("accidents", "junction", 0.02), ("accidents", "weather", 0.02), ("accidents", "hour", 0.05),
        ("places", "road_class", 0.03), ("places", "layout", 0.02), ("places", "surface", 0.02),
        ("places", "alignment", 0.02), ("vehicles", "category", 0.02), ("vehicles", "fixed_obstacle", 0.02),
        ("vehicles", "impact", 0.05), ("users", "severity", 0.03),
    ],
)  # fmt: skip
def test_marginals_are_those_of_real_2018(
    real_2018: Tables, sample_2018: Tables, table: str, column: str, distance: float
) -> None:
    shares = [getattr(t, table)[column].value_counts(normalize=True) for t in (real_2018, sample_2018)]
    total_variation = shares[0].sub(shares[1], fill_value=0).abs().sum() / 2
    assert total_variation < distance


@pytest.fixture(scope="module")
def real_2018(baac: Path) -> Tables:
    return read_year(find_years(baac / "2018")[2018])[0]


@pytest.fixture(scope="module")
def sample_2018(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return make(tmp_path_factory.mktemp("marginals"), 2018, size=30_000)[0]
