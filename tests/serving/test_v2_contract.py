"""Whatever serves a bundle over V2 answers alike: the same numbers, the same words for what is wrong."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import ANY

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.model_servers import NAME, Version, request
from tests.serving.conftest import INFER, answered

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module", params=["mlserver_http", "bentoml_http"])
def http(request: pytest.FixtureRequest) -> httpx.Client:
    return request.getfixturevalue(request.param)


def columns_request(rows: pd.DataFrame, features: list[str]) -> dict[str, Any]:
    """A V2 request with one tensor a feature."""
    return {
        "inputs": [
            {
                "name": name,
                "datatype": "FP32",
                "shape": [len(rows)],
                "data": [None if v != v else v for v in rows[name].tolist()],
            }
            for name in features
        ]
    }


@pytest.mark.parametrize("count", [1, 2, 32, 33, 500])
def test_both_forms_give_the_bundles_probabilities(http: httpx.Client, version: Version, count: int) -> None:
    rows, expected = version.rows.head(count), version.bundle.predict(version.matrix[:count])
    for body in (request(rows[version.bundle.features]), columns_request(rows, version.bundle.features)):
        (output,) = answered(http, body)["outputs"]
        assert (output["name"], output["shape"], output["datatype"]) == ("p_severe", [count], "FP64")
        np.testing.assert_allclose(output["data"], expected, rtol=0, atol=1e-12)


def test_an_answer_says_who_gave_it(http: httpx.Client, version: Version) -> None:
    answer = answered(http, request(version.rows[version.bundle.features].head(1)) | {"id": "mine"})
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (NAME, "7", "mine")
    bundle = version.bundle
    assert answer["parameters"] == {
        "stage": "dispatch",
        "threshold": bundle.threshold,
        "bands": json.dumps(dict(bundle.bands)),
        "budget": 0.2,
        "digest": bundle.digest,
        "synthetic": True,
    }


def test_contributions_are_the_bundles_and_name_their_columns(http: httpx.Client, version: Version) -> None:
    for count in (1, 100):
        body = request(version.rows[version.bundle.features].head(count))
        body["outputs"] = [{"name": "contributions"}, {"name": "p_severe"}]
        shap, probability = answered(http, body)["outputs"]
        model = version.bundle.model
        assert probability["shape"] == [count]
        assert shap["shape"] == [count, len(model.columns) + 1]
        assert shap["parameters"]["columns"] == list(model.columns)
        expected = model.contributions(version.matrix[:count])
        np.testing.assert_allclose(np.reshape(shap["data"], shap["shape"]), expected, atol=1e-9)


def test_what_to_ask_is_what_the_bundle_says(http: httpx.Client, version: Version) -> None:
    unknown = version.rows[version.bundle.features].head(2).astype(float)
    unknown.loc[unknown.index[0], :] = np.nan
    body = request(unknown) | {"outputs": [{"name": "questions"}, {"name": "p_severe"}]}
    questions, probability = answered(http, body)["outputs"]
    asked = version.bundle.questions
    assert questions["parameters"]["columns"] == asked.names
    assert asked.names
    expected = asked.changes(version.bundle.predict, unknown.to_numpy(np.float32))
    np.testing.assert_allclose(np.reshape(questions["data"], questions["shape"]), expected, atol=1e-9)
    assert expected[0].max() > 0
    assert probability["shape"] == [2]


def test_metadata_tells_what_to_send(http: httpx.Client, version: Version) -> None:
    said = http.get(f"/v2/models/{NAME}").json()
    assert [tensor["name"] for tensor in said["inputs"]] == version.bundle.features
    assert {(t["datatype"], tuple(t["shape"])) for t in said["inputs"]} == {("FP32", (-1,))}
    assert [tensor["name"] for tensor in said["outputs"]] == ["p_severe", "contributions", "questions"]
    assert said["versions"] == ["7"]
    assert said["parameters"]["digest"] == version.bundle.digest


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"outputs": [{"name": "label"}]}, 400, "Output 'label' is unknown"),
        ({"outputs": [{"name": "p_severe"}] * 2}, 400, "asked for twice"),
        ({"inputs": []}, 400, "Missing: "),
        ({"id": "Ā"}, 400, "printable ASCII"),
        ({"id": "a\r\nSet-Cookie: b"}, 400, "printable ASCII"),
        ({"inputs": None}, 422, "inputs"),
        ({"inputs": [{"name": "hour"}]}, 422, "shape"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    http: httpx.Client, version: Version, change: dict[str, Any], status: int, said: str
) -> None:
    body = request(version.rows[version.bundle.features].head(1)) | change
    answer = http.post(INFER, json=body)
    assert answer.status_code == status
    assert said in answer.json()["error"], "as V2 has it"


def test_nan_is_no_json(http: httpx.Client) -> None:
    answer = http.post(INFER, content=b'{"inputs": [NaN]}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert "JSON has no NaN" in answer.json()["error"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b'{"inputs": [NaN]}', b"\xff\xfe", b"[" * 500]
)
def test_a_body_that_is_no_request_is_a_4xx(http: httpx.Client, body: bytes) -> None:
    answer = http.post(INFER, content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_mutilated_request_is_a_5xx(http: httpx.Client, version: Version, data: st.DataObject) -> None:
    """A right request of either form in which some part is replaced by anything."""
    rows = version.rows.head(2)
    right = data.draw(
        st.sampled_from(
            [request(rows[version.bundle.features]), columns_request(rows, version.bundle.features)]
        )
    )
    body = json.loads(json.dumps(right))
    tensor = body["inputs"][data.draw(st.integers(0, len(body["inputs"]) - 1))]
    part, key = data.draw(
        st.sampled_from(
            [(body, "outputs"), (body, "parameters"), (body, "id"), *((tensor, key) for key in tensor)]
        )
    )
    part[key] = data.draw(JSON | st.lists(JSON, max_size=70))
    answer = http.post(INFER, content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400, 422), answer.text


def test_many_rows_do_not_hold_up_single_ones(http: httpx.Client, version: Version) -> None:
    features = version.bundle.features
    many = pd.concat([version.rows[features]] * 20)
    body = request(many) | {"outputs": [{"name": "p_severe"}, {"name": "contributions"}]}
    with ThreadPoolExecutor(1) as pool:
        big = pool.submit(answered, http, body)
        singles = 0
        while not big.done():
            answered(http, request(version.rows[features].head(1)))
            singles += 1
        assert big.result()["outputs"][0]["shape"] == [len(many)]
    assert singles > 3


def test_tritonclients_binary_tensors_are_read(http: httpx.Client, version: Version) -> None:
    rows = version.rows.head(3)
    values = {name: rows[name].to_numpy(np.float32) for name in version.bundle.features}
    inputs = [
        {"name": name, "datatype": "FP32", "shape": [3], "parameters": {"binary_data_size": one.nbytes}}
        for name, one in values.items()
    ]
    parameters = {"binary_data_output": True, "missing": "nan"}
    header = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    content = header + b"".join(one.tobytes() for one in values.values())
    headers = {
        "Inference-Header-Content-Length": str(len(header)),
        "Content-Type": "application/octet-stream",
    }
    answer = http.post(INFER, content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    expected = version.bundle.predict(version.matrix[:3])
    np.testing.assert_allclose(answer.json()["outputs"][0]["data"], expected, rtol=0, atol=1e-12)
    packed = headers | {"Content-Encoding": "gzip"}
    assert http.post(INFER, content=gzip.compress(content), headers=packed).json() == answer.json() | {
        "id": ANY
    }
    wrong = http.post(INFER, content=content[:-1], headers=headers)
    assert (wrong.status_code, "binary_data_size" in wrong.json()["error"]) == (400, True)


def test_a_packed_body_is_unpacked_within_bounds(http: httpx.Client, version: Version) -> None:
    body = json.dumps(request(version.rows[version.bundle.features].head(1))).encode()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert http.post(INFER, content=gzip.compress(body), headers=headers).status_code == 200
    bomb = gzip.compress(bytes(100_000_000))
    assert http.post(INFER, content=bomb, headers=headers).status_code == 413
    other = headers | {"Content-Encoding": "br"}
    assert http.post(INFER, content=body, headers=other).status_code == 415


def test_a_model_is_found_under_the_version_that_it_names(http: httpx.Client, version: Version) -> None:
    body = request(version.rows[version.bundle.features].head(1))
    model = f"/v2/models/{NAME}/versions"
    assert http.post(f"{model}/7/infer", json=body).json()["model_version"] == "7"
    assert http.get(f"{model}/7").json()["versions"] == ["7"]
    assert http.get(f"{model}/7/ready").status_code == 200
    for answer in (http.post(f"{model}/8/infer", json=body), http.get(f"{model}/8")):
        assert answer.status_code == 404
        assert answer.json()["error"] == f"Model {NAME} has no version '8': version 7 is served."
