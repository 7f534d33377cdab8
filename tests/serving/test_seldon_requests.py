"""Seldon's v1 messages are read as those of V2 are, and what is wrong with one is told in the same words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from serving.runtime.tensors import RequestError, TensorReader
from serving.seldon.guard import MAX_BODY, Guard
from serving.seldon.options import read_options
from serving.seldon.v1_requests import read_request

DECLARED = [
    {"name": "hour", "kind": "number", "codes": []},
    {"name": "light", "kind": "category", "codes": [1, 2, 3]},
]
NAMES = ["hour", "light"]


def read(message: Any) -> list[list[float]]:
    """As the predictor reads it."""
    request = read_request(message)
    missing = request.parameters is not None and request.parameters.missing == "nan"
    rows: list[list[float]] = TensorReader(DECLARED).read(request.inputs, missing).tolist()
    return rows


def ndarray(*rows: Any, names: Any = NAMES, **more: Any) -> dict[str, Any]:
    return {"data": {"names": names, "ndarray": list(rows)}, **more}


def test_rows_are_read_by_their_names_and_null_is_not_known() -> None:
    assert read(ndarray([17, 1], [8.5, 2])) == [[17, 1], [8.5, 2]]
    assert read(ndarray([1, 17], names=["light", "hour"])) == [[17, 1]]
    ((hour, light),) = read(ndarray([None, 3], meta={"puid": "x", "tags": {"a": 1}}))
    assert math.isnan(hour)
    assert light == 3


@pytest.mark.parametrize("unknown", [math.nan, "NaN"], ids=["number", "as protobuf writes it"])
def test_a_tensor_has_nan_for_not_known(unknown: Any) -> None:
    tensor = {"shape": [2, 2], "values": [17, 1, unknown, 2]}
    np.testing.assert_equal(read({"data": {"names": NAMES, "tensor": tensor}}), [[17, 1], [np.nan, 2]])


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ([], "A message is a JSON object"),
        ({"strData": "x"}, "A message needs data"),
        ({"data": [1]}, "A message needs data"),
        ({"data": {"names": NAMES}}, "data needs ndarray"),
        ({"data": {"ndarray": [[1, 2]]}}, "data.names is to be the list of the features"),
        (ndarray([1, 2], names="hour"), "data.names is to be the list"),
        (ndarray([1, 2], meta="x"), "meta is to be a JSON object"),
        (ndarray([1, 2], meta={"tags": 1}), "meta is to be a JSON object, and so are its tags"),
        (ndarray(1, 2), "data.ndarray is to be a list with a list of values"),
        (ndarray(), "a request has 1 to 10000 rows"),
        (ndarray([1, 2], names=["hour", "colour"]), "'colour' is no feature of this model"),
        (ndarray([1], names=["hour"]), "Missing: light"),
        (ndarray([1, 2, 3], [1, 2, 3]), "row 0: 3 values instead of 2"),
        (ndarray([1, 2], [1]), "row 1: 1 values instead of 2"),
        (ndarray([1, "dark"]), "row 0, column 'light': 'dark' is no FP64 value, nor null"),
        (ndarray([1, True]), "row 0, column 'light': True is no FP64 value"),
        (ndarray([math.inf, 1]), "row 0, column 'hour': inf is out of the range"),
        (ndarray([math.nan, 1]), "row 0, column 'hour': nan is out of the range"),
        (ndarray([1, 9]), "Input 'light', row 0: 9 is not one of the codes 1, 2, 3, nor null"),
        ({"data": {"names": NAMES, "tensor": {"shape": [1, 2]}}}, "data.tensor.values is to be a list"),
        ({"data": {"names": NAMES, "tensor": {"shape": "x", "values": []}}}, "data.tensor.shape is to be"),
        ({"data": {"names": NAMES, "tensor": 1}}, "data.tensor.shape is to be"),
        ({"data": {"names": NAMES, "tensor": {"shape": [2, 2], "values": [1, 2]}}}, "do not fill the shape"),
    ],
)
def test_what_is_wrong_is_told(message: Any, words: str) -> None:
    with pytest.raises(RequestError) as told:
        read(message)
    assert words in str(told.value)


def asked(**environ: str) -> str:
    """The status that who asks is given."""
    said: list[str] = []
    through = Guard(lambda _environ, start: (start("200 OK", []), [b""])[1])
    list(through({"HTTP_HOST": "127.0.0.1:9000", **environ}, lambda status, _headers: said.append(status)))
    return said[0]


def test_programs_of_this_machine_are_let_through_and_pages_of_others_are_not() -> None:
    assert asked() == asked(HTTP_HOST="localhost:9000", CONTENT_LENGTH="10") == "200 OK"
    assert asked(HTTP_ORIGIN="http://127.0.0.1:9000") == "200 OK"
    assert asked(HTTP_HOST="a.example:9000") == asked(HTTP_HOST="") == "403 Forbidden"
    assert asked(HTTP_ORIGIN="http://a.example") == asked(HTTP_ORIGIN="null") == "403 Forbidden"
    assert asked(HTTP_SEC_FETCH_SITE="cross-site") == "403 Forbidden"


def test_a_body_has_a_length_and_a_bound() -> None:
    assert asked(CONTENT_LENGTH=str(MAX_BODY)) == "200 OK"
    assert asked(CONTENT_LENGTH=str(MAX_BODY + 1)).startswith("413")
    assert asked(CONTENT_LENGTH="-1").startswith("413")
    assert asked(HTTP_TRANSFER_ENCODING="chunked").startswith("411")


@pytest.mark.parametrize("words", [[], ["--digest", ""], ["--digest", "any"]])
def test_a_bundle_is_served_only_by_the_digest_that_the_registry_holds(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own manifest may be edited together with its files."""
    with pytest.raises(SystemExit):
        read_options(["a bundle", *words])
    assert "--digest" in capsys.readouterr().err
    assert read_options(["a bundle", "--digest", "0" * 64]).digest == "0" * 64
