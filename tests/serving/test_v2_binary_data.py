"""Binary tensors of V2, made by hand as its extension says."""

from __future__ import annotations

import struct
from typing import Any

import orjson
import pytest

from serving.http_limits import Refused
from serving.runtime.v2_binary_data import with_values


def body_of(header: Any, values: bytes) -> tuple[bytes, bytes]:
    text = orjson.dumps(header)
    return text + values, str(len(text)).encode()


def tensor(name: str, datatype: str, size: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [2], "parameters": {"binary_data_size": size} | more}


def test_values_are_read_by_their_type_in_the_order_of_the_inputs() -> None:
    inputs = [
        tensor("a", "FP32", 8),
        {"name": "b", "datatype": "INT32", "shape": [2], "data": [5, None]},
        tensor("c", "INT64", 16, columns=["x"]),
        tensor("d", "BOOL", 2),
        tensor("e", "UINT8", 2),
    ]
    header = {
        "id": "mine",
        "parameters": {"binary_data_output": True, "missing": "nan"},
        "inputs": inputs,
        "outputs": [{"name": "p_severe", "parameters": {"binary_data": True}}],
    }
    values = struct.pack("<2f2q2?2B", 0.5, float("nan"), -1, 2**40, True, False, 0, 255)
    request = orjson.loads(with_values(*body_of(header, values)))
    assert [one["data"] for one in request["inputs"]] == [
        [0.5, None], [5, None], [-1, 2**40], [True, False], [0, 255]
    ]  # fmt: skip
    assert request["inputs"][2]["parameters"] == {"columns": ["x"]}
    assert request["id"] == "mine"
    assert request["parameters"] == {"missing": "nan"}
    assert request["outputs"] == [{"name": "p_severe", "parameters": {}}]


ONE = tensor("a", "FP32", 8)
TWO = struct.pack("<2f", 1.0, 2.0)
NAN = struct.pack("<2f", 1.0, float("nan"))
WRONG = {
    "a length beyond the body": (orjson.dumps({"inputs": []}), b"99", "no length within"),
    "a length that is none": (orjson.dumps({"inputs": []}), b"-1", "no length within"),
    "no JSON": (b"{}]", b"3", "no V2 request"),
    "no inputs": (b"{}", b"2", "no V2 request"),
    "inputs that are none": (b'{"inputs":[1]}', b"14", "no V2 request"),
    "a list": (b"[]", b"2", "no V2 request"),
    "too few values": (*body_of({"inputs": [ONE]}, TWO[:-1]), "'a': binary_data_size"),
    "too many values": (*body_of({"inputs": [ONE]}, TWO + b"x"), "1 bytes of the body belong to no input"),
    "a size that is none": (*body_of({"inputs": [tensor("a", "FP32", -1)]}, TWO), "binary_data_size"),
    "half a value": (*body_of({"inputs": [tensor("a", "FP32", 7)]}, TWO[:7]), "no whole number of values"),
    "text": (*body_of({"inputs": [tensor("a", "BYTES", 8)]}, TWO), "one of BOOL, INT8"),
    "NaN": (*body_of({"inputs": [ONE]}, NAN), "missing: nan"),
    "an infinity": (*body_of({"inputs": [ONE]}, struct.pack("<2f", 1, float("inf"))), "infinity"),
    "parameters that are none": (
        *body_of({"inputs": [ONE], "parameters": [1]}, TWO),
        "no V2 request",
    ),
    "outputs that are none": (*body_of({"inputs": [ONE], "outputs": [1]}, TWO), "no V2 request"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_named(what: str) -> None:
    body, length, says = WRONG[what]
    with pytest.raises(Refused, match=says):
        with_values(body, length)
