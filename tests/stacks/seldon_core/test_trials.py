"""A version on trial on a fake cluster: who is led to it, and how that ends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pandas as pd
import pytest

from accidents.params import load_params
from commands.probation import may_try
from stacks.cluster.answers import ClusterError
from stacks.cluster.objects import KINDS
from stacks.components.seldon_core import champion_routes
from stacks.components.seldon_core.cluster_serving import ClusterServing
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.renderings import RENDERINGS
from stacks.components.seldon_core.settings import Runtime, SeldonCoreSettings
from stacks.endpoints import seldon_core
from stacks.endpoints.component import Component
from tests.conftest import ROOT
from tests.fake_kubernetes import FakeKubernetes
from tests.stacks.seldon_core.conftest import (
    FIRST,
    GOLDEN,
    NAME,
    SECOND,
    SETTINGS,
    answer,
    routes,
    running,
    serving_of,
)


def test_a_challenger_is_told_by_the_champion_with_its_own_server(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    challenger = ServedBundle("2", "2" * 64, "s3://bucket/2", "challenger", 10)
    served = serving.try_out(NAME, challenger, GOLDEN)
    assert running(fake) == {NAME: "1", f"{NAME}-challenger": "2"}
    assert served.champion.share == 90
    (route,) = routes(fake)
    assert route["server"] == f"http://{NAME}-challenger.accidents.svc:8085"
    assert (route["role"], route["share"], route["model"]) == ("challenger", 10, f"{NAME}-challenger")
    assert serving.end_trials(NAME) == (challenger,)
    assert running(fake) == {NAME: "1"}
    assert routes(fake) == []


def test_a_challenger_that_becomes_a_shadow_answers_nobody_any_more(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    serving.try_out(NAME, replace(SECOND, role="challenger", share=30), GOLDEN)
    served = serving.try_out(NAME, replace(SECOND, role="shadow", share=0), GOLDEN)
    assert [(one.role, one.version, one.share) for one in served] == [
        ("champion", "1", 100),
        ("shadow", "2", 0),
    ]
    assert running(fake) == {NAME: "1", f"{NAME}-shadow": "2"}
    assert [route["role"] for route in routes(fake)] == ["shadow"]


def test_nobody_is_led_to_a_challenger_while_its_pods_change(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    serving.try_out(NAME, replace(SECOND, role="challenger", share=10), GOLDEN)
    put, led = fake.handle, []

    def look(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        if method == "PATCH" and f"/deployments/{NAME}-challenger?" in target:
            led.append(routes(fake))
        return put(method, target, body)

    fake.handle = look  # type: ignore[method-assign]
    serving.try_out(NAME, ServedBundle("3", "3" * 64, "s3://b", "challenger", 20), GOLDEN)
    assert led == [[]]
    assert [route["version"] for route in routes(fake)] == ["3"]


def test_a_share_may_grow_and_a_shadow_stand_beside(fake: FakeKubernetes, serving: ClusterServing) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    for share in (10, 50):
        serving.try_out(NAME, ServedBundle("2", "2" * 64, "s3://b", "challenger", share), GOLDEN)
    serving.try_out(NAME, ServedBundle("3", "3" * 64, "s3://b", "shadow", 0), GOLDEN)
    assert {(route["role"], route["share"]) for route in routes(fake)} == {("challenger", 50), ("shadow", 0)}
    serving.switch(NAME, SECOND, GOLDEN)  # ends them
    assert running(fake) == {NAME: "2"}


@pytest.mark.parametrize(
    ("ends", "stale"),
    [("end_trials", 3), ("switch", 3), ("end_trials", 10**9)],
    ids=["back", "up", "for ever"],
)
def test_a_trial_goes_when_no_pod_of_the_champion_leads_to_it_any_more_or_in_a_while(
    ends: str, stale: int, fake: FakeKubernetes, serving: ClusterServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(champion_routes, "_EVERY", 0.01)
    monkeypatch.setattr(champion_routes, "_TOLD_WITHIN", 10.0 if stale < 10 else 0.1)
    serving.switch(NAME, FIRST, GOLDEN)
    serving.try_out(NAME, replace(SECOND, role="challenger", share=50), GOLDEN)
    kubelets, handled, left = iter(range(stale)), fake.handle, list[int]()
    told = json.dumps(routes(fake))

    def tell_late(service: str, method: str, path: str, body: Any) -> tuple[int, Any]:
        status, content = answer(fake, service, method, path, body)
        if (service, method) == (NAME, "GET") and not routes(fake) and next(kubelets, None) is not None:
            content["parameters"]["routes"] = told
        return status, content

    def look(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        if method == "DELETE" and target.endswith(f"/deployments/{NAME}-challenger"):
            left.append(len(list(kubelets)) if stale < 10 else 0)
        return handled(method, target, body)

    fake.answer, fake.handle = tell_late, look  # type: ignore[method-assign]
    if ends == "switch":
        serving.switch(NAME, SECOND, GOLDEN)
    else:
        serving.end_trials(NAME)
    assert left == [0]
    assert running(fake) == {NAME: "2" if ends == "switch" else "1"}


@pytest.mark.parametrize("stale", [3, 10**9], ids=["late", "never"])
@pytest.mark.parametrize("share", [0, 5], ids=["first share", "next share"])
def test_a_trial_begins_when_each_pod_of_the_champion_leads_to_it_with_its_share_or_is_taken_back(
    share: int, stale: int, fake: FakeKubernetes, serving: ClusterServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the champion answers its accidents, which the loop would count as its failures."""
    monkeypatch.setattr(champion_routes, "_EVERY", 0.01)
    before = serving.switch(NAME, FIRST, GOLDEN)
    if share:
        before = serving.try_out(NAME, replace(SECOND, role="challenger", share=share), GOLDEN)
    monkeypatch.setattr(champion_routes, "_LED_WITHIN", 10.0 if stale < 10 else 0.1)
    pods = running(fake)
    kubelets, known = iter(range(stale)), json.dumps(routes(fake))

    def tell_late(service: str, method: str, path: str, body: Any) -> tuple[int, Any]:
        status, content = answer(fake, service, method, path, body)
        grown = [route["share"] for route in routes(fake)] == [25]
        if (service, method) == (NAME, "GET") and grown and next(kubelets, None) is not None:
            content["parameters"]["routes"] = known
        return status, content

    fake.answer = tell_late
    challenger = replace(SECOND, role="challenger", share=25)
    if stale > 10:
        with pytest.raises(ClusterError, match="not every pod of the champion leads to version 2 as cha"):
            serving.try_out(NAME, challenger, GOLDEN)
        assert serving.served(NAME) == before
        assert [route["share"] for route in routes(fake)] == [share] * bool(share)
        assert running(fake) == pods
        return
    serving.try_out(NAME, challenger, GOLDEN)
    assert next(kubelets, None) is None
    assert [route["share"] for route in routes(fake)] == [25]


def written_routes(fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[str, str, int]]]:
    """Return what will have been written down for the champion's pods: role, version, share."""
    put, written = fake.handle, list[list[tuple[str, str, int]]]()

    def look(method: str, target: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        if method == "PATCH" and "/configmaps/" in target:
            told = json.loads(body["data"]["routes.json"])
            written.append([(each["role"], each["version"], each["share"]) for each in told])
        return put(method, target, body)

    monkeypatch.setattr(fake, "handle", look)
    return written


def test_another_share_of_the_same_version_is_told_in_place_of_the_one_before(
    fake: FakeKubernetes, serving: ClusterServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pods stay: with no routes between, an accident of both shares would go to the champion and back."""
    serving.switch(NAME, FIRST, GOLDEN)
    serving.try_out(NAME, replace(SECOND, role="challenger", share=20), GOLDEN)
    written = written_routes(fake, monkeypatch)
    serving.try_out(NAME, replace(SECOND, role="challenger", share=60), GOLDEN)
    assert written == [[("challenger", "2", 60)]]


def test_a_challenger_answers_on_while_the_shadow_beside_it_is_another(
    fake: FakeKubernetes, serving: ClusterServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    canary = ("challenger", "2", 20)
    serving.try_out(NAME, replace(SECOND, role="challenger", share=20), GOLDEN)
    serving.try_out(NAME, ServedBundle("3", "3" * 64, "s3://b", "shadow", 0), GOLDEN)
    written = written_routes(fake, monkeypatch)
    serving.try_out(NAME, ServedBundle("4", "4" * 64, "s3://b", "shadow", 0), GOLDEN)
    assert written == [[canary], [canary, ("shadow", "4", 0)]]
    assert running(fake) == {NAME: "1", f"{NAME}-challenger": "2", f"{NAME}-shadow": "4"}


def test_a_challenger_that_does_not_answer_goes_at_once(
    fake: FakeKubernetes, serving: ClusterServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    serving.try_out(NAME, replace(SECOND, role="challenger", share=50), GOLDEN)
    fake.answer = lambda service, *asked: (
        (404, "gone") if service.endswith("-challenger") else answer(fake, service, *asked)
    )
    monkeypatch.setattr(
        serving._routes, "_leads_aside", lambda served: pytest.fail("nobody is to be waited for")
    )
    serving.end_trials(NAME)
    assert running(fake) == {NAME: "1"}


def test_no_version_is_on_trial_where_the_api_outside_reaches_the_champion_alone(
    fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    outside = serving_of(fake, SETTINGS.model_copy(update={"address": "https://models.example"}))
    with pytest.raises(ClusterError, match=r"https://models.example .* leads to the champion alone, so vers"):
        outside.try_out(NAME, replace(SECOND, role="challenger", share=50), GOLDEN)
    assert running(fake) == {NAME: "1"}


@pytest.mark.parametrize("address", ["", "https://models.example"])
def test_the_loop_begins_with_a_canary_from_outside_of_the_cluster_too(
    address: str, fake: FakeKubernetes, serving: ClusterServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    serving.switch(NAME, FIRST, GOLDEN)
    settings = SETTINGS.model_copy(update={"address": address})
    monkeypatch.setattr(seldon_core, "serving_of", lambda settings: serving_of(fake, settings))
    endpoint = seldon_core.SeldonCoreEndpoint(NAME, settings, cast(Component, None))
    params = load_params(ROOT / "params.yaml", {"monitor.probation.canary": [5]})
    assert may_try(endpoint, params, FIRST.version) is not bool(address)


@pytest.mark.parametrize("taken_back", ["by ending the trial", "by deploying the champion"])
def test_a_challenger_that_is_taken_back_answers_nobody_whatever_becomes_of_the_champions_pods(
    taken_back: str, fake: FakeKubernetes, serving: ClusterServing
) -> None:
    serving.switch(NAME, FIRST, GOLDEN)
    serving.try_out(NAME, replace(SECOND, role="challenger", share=50), GOLDEN)
    fake.pods |= {name: {"phase": "Pending"} for name in (NAME, f"{NAME}-proving")}
    if taken_back == "by ending the trial":
        serving.end_trials(NAME)
    else:
        with pytest.raises(ClusterError, match="did not become ready"):
            serving.switch(NAME, FIRST, GOLDEN)
    assert routes(fake) == []
    assert running(fake) == {NAME: "1"}


@pytest.mark.parametrize("runtime", ["deployment", "seldon", "kserve"])
def test_what_serves_stays_as_it_was_applied_when_a_trial_ends(
    runtime: Runtime, fake: FakeKubernetes
) -> None:
    """Whatever the settings are by then: nobody has proved an image that is in them alone."""
    fake.answer = lambda *_: (404, "gone")  # nobody is waited for
    settings = SeldonCoreSettings(runtime=runtime)
    serving, alone = serving_of(fake, settings), Served(NAME, FIRST)
    tried = alone.with_beside(replace(SECOND, role="challenger", share=30)).with_beside(
        replace(SECOND, role="shadow", share=0)
    )
    applied = RENDERINGS[runtime].render(tried, settings)
    serving._objects.apply(applied)
    serving._record(tried, applied)
    newer = serving_of(fake, settings.model_copy(update={"image": "unproved:1", "max_replicas": 5}))
    newer.end_trials(NAME)
    left = {key: there["spec"] for key, there in fake.objects.items() if "spec" in there}
    assert left == {
        (KINDS[each["kind"]][1], each["metadata"]["name"]): each["spec"]
        for each in RENDERINGS[runtime].render(alone, settings)
    }
    assert newer.served(NAME) == alone


def test_what_a_probe_measures_is_one_request_over_a_connection_that_is_there(
    fake: FakeKubernetes, serving: ClusterServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record, the metadata and another kubeconfig are not the latency of what serves."""
    serving.switch(NAME, FIRST, GOLDEN)
    answered = fake.answer
    fake.answer = lambda *asked: (
        (200, {**answered(*asked)[1], "inputs": [{"name": "hour"}]})
        if asked[1] == "GET"
        else answered(*asked)
    )
    monkeypatch.setattr(seldon_core, "serving_of", lambda settings: serving_of(fake, settings))
    predict = seldon_core.SeldonCoreEndpoint(NAME, SETTINGS, cast(Component, None)).predictor()
    fake.asked.clear()
    assert predict(pd.DataFrame({"hour": [1.0, 2.0]})).tolist() == GOLDEN["p_severe"]
    assert [method for method, _ in fake.asked] == ["POST"]
