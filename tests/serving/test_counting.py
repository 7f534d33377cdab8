"""Which predictions are counted for Prometheus."""

from __future__ import annotations

import asyncio

from prometheus_client import REGISTRY

from accidents.predictions.prediction_log import PredictionLogError
from serving.api.predicting import counting as module
from serving.api.predicting.counting import Counting
from tests.predictions import prediction


def counted(version: str) -> float:
    labels = {"model": "accident-severity-dispatch", "version": version, "stage": "dispatch",
              "band": "moderate", "alert": "no", "role": "champion"}  # fmt: skip
    return REGISTRY.get_sample_value("accidents_predictions_total", labels) or 0.0


def test_drafts_are_not_counted_and_the_last_of_a_session_is_once_it_has_settled(monkeypatch) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    counting = Counting(quiet=60)
    counting.add([prediction(k, model_version="7", session="a form") for k in range(5)])
    counting.add([prediction(model_version="8", session="a form", key_name="another")])
    counting.add([prediction(model_version="7")])
    assert (counted("7"), counted("8")) == (1, 0), "what is no form counts at once"
    now = 130.0
    counting.add([prediction(model_version="9", session="a form")])  # the version was switched meanwhile
    now = 165.0
    counting.settle()
    assert (counted("7"), counted("8"), counted("9")) == (1, 1, 0)
    now = 195.0
    counting.settle()
    assert (counted("7"), counted("8"), counted("9")) == (1, 1, 1)


def test_of_too_many_open_forms_the_oldest_counts(monkeypatch) -> None:
    monkeypatch.setattr(module, "_OPEN", 2)
    counting = Counting()
    counting.add([prediction(model_version=f"1{k}", session=f"s{k}") for k in range(3)])
    assert [counted(f"1{k}") for k in range(3)] == [1, 0, 0]


def test_among_several_apis_a_form_counts_once_where_it_was_answered_last(monkeypatch) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    here, there = (prediction(k, model_version="21", session="s") for k in (1, 2))
    asked: list[list[str]] = []

    def newest(requests):
        asked.append(list(requests))
        if len(asked) == 1:
            raise PredictionLogError("gone")
        return {there.request_id} & set(requests)

    one, other = Counting(newest=newest), Counting(newest=newest)
    one.add([here])
    other.add([there])
    now = 165.0
    for _ in range(2):  # the log was gone at the first try
        asyncio.run(one.settle_among_others())
        asyncio.run(other.settle_among_others())
    assert counted("21") == 1
    assert asked == [[here.request_id], [there.request_id], [here.request_id]]


def test_a_form_that_goes_on_while_the_log_is_gone_holds_up_no_other(monkeypatch) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    quiet, goes_on = (prediction(k, model_version="22", session=f"s{k}") for k in (1, 2))
    asked: list[list[str]] = []

    def newest(requests):
        asked.append(list(requests))
        if len(asked) == 1:
            counting.add([prediction(3, model_version="22", session="s2")])
            raise PredictionLogError("gone")
        return set(requests)

    counting = Counting(newest=newest)
    counting.add([quiet])
    counting.add([goes_on])
    now = 165.0
    for _ in range(2):
        asyncio.run(counting.settle_among_others())
    assert asked[1] == [quiet.request_id]
    assert counted("22") == 1
