"""What BentoML answers beside V2: its own API, and to whom."""

from __future__ import annotations

import json
from typing import Any

import bentoml
import httpx
import numpy as np
import psutil
import pytest

from serving.api.predicting.rollout import Route, parse_routes
from tests.model_servers import NAME, Version, request

pytestmark = [pytest.mark.server, pytest.mark.slow]


def accidents(version: Version, count: int) -> list[dict[str, Any]]:
    rows = version.rows[version.bundle.features].head(count)
    return [
        {name: None if np.isnan(value) else value for name, value in row.items()}
        for row in rows.to_dict("records")
    ]


def test_bentomls_own_client_gets_the_bundles_probabilities(
    bentoml_http: httpx.Client, version: Version
) -> None:
    with bentoml.SyncHTTPClient(str(bentoml_http.base_url)) as client:
        answer = client.predict(accidents=accidents(version, 40))
    np.testing.assert_allclose(
        answer["p_severe"], version.bundle.predict(version.matrix[:40]), rtol=0, atol=1e-12
    )
    assert (answer["model"], answer["version"]) == (NAME, "7")
    assert answer["threshold"] == version.bundle.threshold


def test_a_version_on_trial_answers_to_its_own_name_and_the_champion_tells_of_it(
    bentoml_http: httpx.Client, version: Version, on_trial: Version
) -> None:
    told = bentoml_http.get(f"/v2/models/{NAME}").json()["parameters"]["routes"]
    (route,) = json.loads(told)
    assert route == {
        "role": "challenger", "share": 30, "model": f"{NAME}-challenger", "version": "9",
        "digest": on_trial.bundle.digest,
    }  # fmt: skip
    assert parse_routes(told) == {"challenger": Route("challenger", route["model"], 30)}, (
        "so the API reads it"
    )
    body = request(version.rows[version.bundle.features].head(40))
    for model, number, expected in ((NAME, "7", version), (route["model"], "9", on_trial)):
        answer = bentoml_http.post(f"/v2/models/{model}/infer", json=body).json()
        assert (answer["model_name"], answer["model_version"]) == (model, number)
        np.testing.assert_allclose(
            answer["outputs"][0]["data"], expected.bundle.predict(version.matrix[:40]), rtol=0, atol=1e-12
        )
    tried = bentoml_http.get(f"/v2/models/{route['model']}").json()
    assert (tried["versions"], tried["parameters"]["routes"]) == (["9"], "[]")
    assert bentoml_http.get(f"/v2/models/{NAME}-shadow/ready").status_code == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hour": "abc"}, "Input 'hour', row 0: 'abc' is no FP64 value, nor null."),
        ({"light": 99}, "Input 'light', row 0: 99 is not one of the codes"),
        ({"huor": 3}, "'huor' is no feature of this model. Did you mean 'hour'?"),
    ],
)
def test_its_own_api_says_what_is_wrong_in_the_same_words(
    bentoml_http: httpx.Client, version: Version, change: dict[str, Any], said: str
) -> None:
    (accident,) = accidents(version, 1)
    answer = bentoml_http.post("/predict", json={"accidents": [accident | change]})
    assert answer.status_code == 400
    assert said in answer.text


def test_accidents_that_say_different_things_are_refused(
    bentoml_http: httpx.Client, version: Version
) -> None:
    first, second = accidents(version, 2)
    del second["hour"]
    answer = bentoml_http.post("/predict", json={"accidents": [first, second]})
    assert (answer.status_code, "Accident 1 says other features" in answer.text) == (400, True)


@pytest.mark.parametrize(
    "headers", [{"host": "evil.example"}, {"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}]
)
def test_pages_of_others_may_ask_nothing(bentoml_http: httpx.Client, headers: dict[str, str]) -> None:
    for path in ("/", "/metrics", "/v2", "/schema.json"):
        assert bentoml_http.get(path, headers=headers).status_code == 403
        assert bentoml_http.get(path).status_code == 200


def test_nothing_listens_beyond_loopback(bentoml_http: httpx.Client) -> None:
    port = bentoml_http.base_url.port
    listening = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN and one.pid]
    (arbiter, *_) = {one.pid for one in listening if one.laddr.port == port}
    family = psutil.Process(arbiter)
    pids = {family.pid, family.ppid(), *(child.pid for child in family.children(recursive=True))}
    assert {one.laddr.ip for one in listening if one.pid in pids} == {"127.0.0.1"}
