"""What POST /predict, /predict/batch and /labels understand, answer and log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from accidents.features import build_one
from accidents.predictions.prediction_log import PredictionLog
from serving.api.schema.answers import BatchAnswer, LabelsAnswer, PredictionAnswer
from tests.serving.api_client import ACCIDENT, api, error_of
from tests.serving.v2_stand_in import StandIn, probability, stand_in


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    with stand_in() as model:
        yield model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def client(model: StandIn, folder: Path) -> Iterator[TestClient]:
    with api(folder, model.address) as client:
        yield client


def predict(client: TestClient, query: str = "?reasons=false", **fields: Any) -> dict[str, Any]:
    answer = client.post(f"/predict{query}", json=ACCIDENT | fields)
    assert answer.status_code == 200, answer.text
    PredictionAnswer.model_validate(answer.json(), strict=True)
    content: dict[str, Any] = answer.json()
    return content


def logged(folder: Path, request_id: str) -> dict[str, Any]:
    log = PredictionLog(f"sqlite:///{folder / 'predictions.db'}")
    try:
        return next(dict(row) for row in log.read() if row["request_id"] == request_id)
    finally:
        log.close()


def test_an_answer_is_the_models(client: TestClient) -> None:
    answer = predict(client, "", accident_id="A-1", speed_limit=110)
    assert answer["probability"] == pytest.approx(probability(110))
    assert (answer["band"], answer["alert"], answer["threshold"]) == ("very high", True, 0.5)
    assert answer["model"] == {
        "name": "accident-severity-dispatch", "version": "1", "role": "champion", "stage": "dispatch",
        "synthetic": True,
    }  # fmt: skip
    assert [reason["feature"] for reason in answer["reasons"]] == ["place", "speed_limit"]
    assert answer["accident_id"] == "A-1"


def test_what_would_help_most_is_asked_in_a_sentence(client: TestClient) -> None:
    question = predict(client, "")["ask"]
    sentence = "asking for the speed limit would help most: on average it moves the probability by 25 points"
    assert question == {"feature": "speed_limit", "change": 0.25, "text": sentence}
    assert "vitesse" in predict(client, "?language=fr")["ask"]["text"]
    assert predict(client, "", speed_limit=80)["ask"] is None, "what is left is not worth asking"
    assert predict(client)["ask"] is None, "asked without reasons"


def test_a_model_that_asks_nothing_explains_all_the_same(tmp_path: Path) -> None:
    with stand_in() as model, api(tmp_path, model.address) as client:
        model.outputs = ("p_severe", "contributions")
        answer = predict(client, "", speed_limit=110)
        assert answer["reasons"]
        assert answer["ask"] is None


def test_the_log_holds_what_was_answered_and_from_what(client: TestClient, folder: Path) -> None:
    answer = predict(client, accident_id="A-2", speed_limit=80, weather="light rain", pedestrian=True)
    row = logged(folder, answer["request_id"])
    assert row["probability"] == answer["probability"]
    assert (row["accident_id"], row["band"], row["model_version"]) == ("A-2", answer["band"], "1")
    again = build_one(row["accident"]) | {"pedestrian": 1.0}
    assert row["features"] == {name: None if v != v else v for name, v in again.items()}
    assert row["features"]["department"] == 59


def test_words_in_any_case_french_words_and_codes_say_the_same(client: TestClient, folder: Path) -> None:
    said = [{"weather": said} for said in (2, "light rain", "Light RAIN ", "pluie légère", "PLUIE LÉGÈRE")]
    said += [{"vehicles": [{"category": said}]} for said in (7, "car alone", "car", "voiture")]
    rows = [logged(folder, predict(client, **one)["request_id"])["features"] for one in said]
    assert {row["weather"] for row in rows[:5]} == {2}
    assert {row["cars"] for row in rows[5:]} == {1}


@pytest.mark.parametrize("not_known", [None, -1, 0])
def test_not_stated_is_not_known(client: TestClient, folder: Path, not_known: int | None) -> None:
    row = logged(folder, predict(client, weather=not_known)["request_id"])
    assert row["features"]["weather"] is None


def test_reasons_speak_the_language_asked_for(client: TestClient) -> None:
    english, french = (predict(client, f"?language={one}", speed_limit=80) for one in ("en", "fr"))
    texts = [{one["text"] for one in answer["reasons"]} for answer in (english, french)]
    assert "speed limit 80 km/h" in texts[0]
    assert not texts[0] & texts[1]
    assert predict(client, "?reasons=false")["reasons"] == []


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "'; DROP TABLE predictions; --", "Ünï 🚑"])
def test_text_is_data(client: TestClient, folder: Path, text: str) -> None:
    answer = predict(client, accident_id=text)
    assert answer["accident_id"] == text
    assert logged(folder, answer["request_id"])["accident_id"] == text


def test_notes_say_what_was_filled_in_and_what_is_not_used(client: TestClient) -> None:
    said = predict(client, collision=1, users=[{"role": 1, "sex": 2}])["notes"]
    assert said == [
        "department 59 is taken from the coordinates",
        "collision, sex: not used by a model of stage dispatch",
    ]
    assert predict(client, place={"department": "59"})["notes"] == []
    elsewhere = predict(client, place=ACCIDENT["place"] | {"department": "13"})["notes"]
    assert elsewhere == ["the coordinates seem to lie in department 59, not 13: both used"]


def test_a_pedestrian_is_hit_if_anything_says_so(client: TestClient, folder: Path) -> None:
    def flag(**fields: Any) -> float | None:
        features: dict[str, float | None]
        features = logged(folder, predict(client, **fields)["request_id"])["features"]
        return features["pedestrian"]

    assert flag() is None
    assert flag(pedestrian=False) == 0
    assert flag(users=[{"role": "pedestrian"}]) == 1
    assert flag(pedestrian=True, users=[{"role": "driver"}]) == 1
    wrong = client.post("/predict", json=ACCIDENT | {"pedestrian": False, "users": [{"role": 3}]})
    assert error_of(wrong, 422, "invalid")["details"][0]["where"] == "pedestrian"


TOMORROW = date.today() + timedelta(days=1)
LATER = TOMORROW + timedelta(days=2)  # not on the day after either: tests may run past midnight


@pytest.mark.parametrize(
    "time",
    ["2005-01-01T00:00", f"{TOMORROW}T23:59", "2024-02-29T12:00:30", "2024-02-29 12:00",
     "2024-02-29T12:00:30.123456", " 2024-2-29t9:05 "],
)  # fmt: skip
def test_times_that_may_be(client: TestClient, time: str) -> None:
    predict(client, time=time)


@pytest.mark.parametrize(
    "time",
    ["1900-01-01T00:00", "2004-12-31T23:59", "2100-01-01T00:00", f"{LATER}T00:00",
     "2023-02-29T12:00", "2024-06-03", "2024-06-03T24:00", "2024-06-03T10:00+02:00", "2024-06-03T10:00Z",
     "yesterday", 1717431000, None, "２０２４-06-03T10:00"],
)  # fmt: skip
def test_times_that_may_not_be(client: TestClient, time: object) -> None:
    error = error_of(client.post("/predict", json=ACCIDENT | {"time": time}), 422, "invalid")
    assert [detail["where"] for detail in error["details"]] == ["time"]


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ({"latitude": 46.0, "longitude": -20.0}, "at sea or outside France"),
        ({"latitude": 52.52, "longitude": 13.4}, "at sea or outside France"),
        ({"latitude": 0.0, "longitude": 0.0}, "at sea or outside France"),
        ({"latitude": 91.0, "longitude": 0.0}, "less than or equal to 90"),
        ({"latitude": 48.0}, "both latitude and longitude"),
        ({}, "latitude and longitude, or department, or commune"),
        ({"department": "99"}, "is not a department"),
        ({"department": 96}, "is not a department"),
        ({"department": "dayligth"}, "is not a department"),
        ({"commune": "593500"}, "'593500' is not a commune code; send the INSEE code of five"),
        ({"commune": "5935"}, "'5935' is not a commune code"),
        ({"commune": "abc"}, "'abc' is not a commune code"),
        ({"commune": "96123"}, "no département"),
        ({"commune": "59350", "department": "13"}, "lies in department 59, not 13"),
        ({"latitude": "48.1", "longitude": 2.0}, "valid number"),
        ("Paris", "object"),
    ],
)
def test_places_that_may_not_be(client: TestClient, place: object, says: str) -> None:
    error = error_of(client.post("/predict", json=ACCIDENT | {"place": place}), 422, "invalid")
    assert says in error["message"]


@pytest.mark.parametrize(
    ("fields", "where", "says"),
    [
        ({"wether": 1}, "wether", "did you mean 'weather'?"),
        ({"zzz": 1}, "zzz", "known here: accident_id, time"),
        ({"vehicles": [{}, {"kategory": 7}]}, "vehicles[1].kategory", "did you mean 'category'?"),
        ({"weather": "drizzle"}, "weather", "'light rain' (2)"),
        ({"weather": 10}, "weather", "10 is not a weather"),
        ({"weather": True}, "weather", "True is not"),
        ({"weather": 2.5}, "weather", "2.5 is not"),
        ({"weather": [2]}, "weather", "a list is not"),
        ({"weather": {"is": 2}}, "weather", "an object is not"),
        ({"light": "dayligth"}, "light", "did you mean 'daylight'?"),
        ({"speed_limit": 300}, "speed_limit", "130"),
        ({"speed_limit": "fast"}, "speed_limit", "'fast' is not a whole number; send a whole number from 10"),
        ({"speed_limit": 50.5}, "speed_limit", "50.5 is not a whole number"),
        ({"lanes": [2]}, "lanes", "a list is not a whole number; send a whole number from 1 to 19"),
        ({"lanes": True}, "lanes", "True is not a whole number"),
        ({"pedestrian": "maybe"}, "pedestrian", "'maybe' is not 1 or 0; send true or false"),
        ({"pedestrian": 2}, "pedestrian", "2 is not 1 or 0"),
        ({"users": [{"birth_year": 80}]}, "users[0].birth_year", "80 is not between 1890 and 2100"),
        ({"accident_id": ""}, "accident_id", "pattern"),
        ({"accident_id": "a\u0000b"}, "accident_id", "pattern"),
        ({"accident_id": "x" * 101}, "accident_id", "100"),
        ({"vehicles": [{}] * 101}, "vehicles", "100"),
        ({"severe": True}, "severe", "unknown field"),
    ],
)
def test_fields_that_may_not_be(client: TestClient, fields: Any, where: str, says: str) -> None:
    error = error_of(client.post("/predict", json=ACCIDENT | fields), 422, "invalid")
    assert [detail["where"] for detail in error["details"]] == [where]
    assert says in error["details"][0]["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b'{"time": "\\ud800"}', b"[" * 5000, b"{}",
     json.dumps(ACCIDENT).replace("50.63", "NaN").encode(),
     json.dumps(ACCIDENT).replace("50.63", "1e999").encode(),
     json.dumps(ACCIDENT | {"lanes": 10**400}).encode(), json.dumps(ACCIDENT | {"light": 10**400}).encode(),
     json.dumps(ACCIDENT | {"light": "x" * 500_000}).encode(),
     json.dumps({f"{k}": k for k in range(20_000)}).encode()],
)  # fmt: skip
def test_bodies_that_may_not_be(client: TestClient, body: bytes) -> None:
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert error_of(answer, 422, "invalid")["message"]
    assert len(answer.content) < 20_000


def test_a_wrong_query_is_told(client: TestClient) -> None:
    for name, value in (("reasons", "perhaps"), ("language", "de"), ("raisons", "1")):
        error = error_of(client.post(f"/predict?{name}={value}", json=ACCIDENT), 422, "invalid")
        assert error["details"][0]["where"] == name
    error_of(client.get("/words?language=de"), 422, "invalid")


def test_a_batch_answers_each_accident_in_its_place(client: TestClient, folder: Path) -> None:
    accidents: list[Any] = [ACCIDENT | {"speed_limit": 30 + k % 100} for k in range(150)]
    accidents[3] = {"time": "1900-01-01T00:00"}
    accidents[70] = ACCIDENT | {"place": {"latitude": 46.0, "longitude": -20.0}}
    accidents[149] = "not an accident"
    answer = client.post("/predict/batch?reasons=false", json={"accidents": accidents})
    assert answer.status_code == 200
    BatchAnswer.model_validate(answer.json(), strict=True)
    entries = answer.json()["predictions"]
    assert [k for k, entry in enumerate(entries) if "error" in entry] == [3, 70, 149]
    for accident, entry in zip(accidents, entries, strict=True):
        if "error" not in entry:
            assert entry["probability"] == pytest.approx(probability(accident["speed_limit"]))
    ids = {entry["request_id"] for entry in entries if "error" not in entry}
    assert len(ids) == 147
    assert all(logged(folder, one) for one in list(ids)[:3])


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_one_to_a_thousand_accidents(client: TestClient, count: int) -> None:
    answer = client.post("/predict/batch", json={"accidents": [ACCIDENT] * count})
    error_of(answer, 422, "invalid")


@pytest.mark.parametrize("body", ['{"accidents": [NaN]}', '{"accidents": {}}', '{"x": [1]}', "[]", "{"])
def test_what_is_no_batch_is_refused(client: TestClient, body: str) -> None:
    answer = client.post("/predict/batch", content=body, headers={"Content-Type": "application/json"})
    error_of(answer, 422, "invalid")


def test_labels_find_their_predictions(client: TestClient) -> None:
    mine = predict(client, accident_id="L-1")["request_id"]

    def label(*labels: dict[str, Any]) -> list[str]:
        answer = client.post("/labels", json={"labels": labels})
        assert answer.status_code == 200, answer.text
        LabelsAnswer.model_validate(answer.json(), strict=True)
        return [one["status"] for one in answer.json()["results"]]

    severe = {"request_id": mine, "severe": True}
    assert label(severe, {"request_id": "0" * 32, "severe": True}) == ["recorded", "unknown"]
    assert label(severe) == ["unchanged"]
    assert label({"accident_id": "L-1", "severe": False}) == ["corrected"]


def test_of_a_form_that_is_filled_in_only_the_last_prediction_counts(
    client: TestClient, folder: Path
) -> None:
    log = PredictionLog(f"sqlite:///{folder / 'predictions.db'}")
    before = log.count()
    drafts = [predict(client, session="form 1", speed_limit=speed)["request_id"] for speed in (50, 80, 110)]
    assert log.count() == before + 1
    counted = [row["request_id"] for row in log.read() if row["session"] == "form 1"]
    log.close()
    assert counted == drafts[-1:]


@pytest.mark.parametrize(
    "label",
    [{}, {"severe": True}, {"request_id": "x", "severe": True}, {"accident_id": "a", "severe": 1},
     {"accident_id": "a", "request_id": "0" * 32, "severe": True}],
)  # fmt: skip
def test_labels_that_may_not_be(client: TestClient, label: dict[str, Any]) -> None:
    error_of(client.post("/labels", json={"labels": [label]}), 422, "invalid")


def test_words_are_those_that_are_understood(client: TestClient) -> None:
    for language in ("en", "fr"):
        answer = client.get(f"/words?language={language}").json()
        for code, word in answer["codes"]["light"].items():
            predict(client, light=word)
            predict(client, light=int(code))
