"""Seldon's own server on this machine, for real: what it answers, how versions switch, what is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import psutil
import pytest
from pydantic import ValidationError

from stacks.components.seldon_core import microservice_process
from stacks.components.seldon_core.description import Served, ServedBundle
from stacks.components.seldon_core.microservice import MicroserviceServing
from stacks.components.seldon_core.microservice_process import processes_of
from stacks.components.seldon_core.settings import SeldonCoreSettings
from stacks.errors import StackError
from stacks.processes import is_alive
from tests.model_servers import NAME, Version, broken, make_version, microservice_settings, request
from tests.processes import kill_all_of
from tests.processes import processes_of as all_of

pytestmark = [pytest.mark.server, pytest.mark.slow]


class Place(NamedTuple):
    """A folder in which models are served, and two versions of one."""

    serving: MicroserviceServing
    versions: tuple[Version, Version]

    @property
    def folder(self) -> Path:
        return Path(self.serving.settings.folder)

    @property
    def servers(self) -> list[psutil.Process]:
        return processes_of(self.folder, NAME)

    def bundle(self, number: int) -> ServedBundle:
        bundle = self.versions[number - 1].bundle
        return ServedBundle(str(number), bundle.digest, str(bundle.folder))

    def golden(self, number: int) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.versions[number - 1].golden.read_text(encoding="utf-8"))
        return content

    def switch(self, number: int) -> Served:
        return self.serving.switch(NAME, self.bundle(number), self.golden(number))

    def serve(self, number: int) -> Served:
        """Switch, unless it serves already and is alone."""
        served = self.serving.served(NAME)
        if served and served.champion.version == str(number) and not self.fault():
            return served
        return self.switch(number)

    def fault(self) -> str:
        served = self.serving.served(NAME)
        assert served is not None
        return self.serving.fault(served, served.champion)

    def record(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / f"{NAME}.json").read_text(encoding="utf-8"))
        return content


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    versions = tuple(make_version(tmp_path_factory.mktemp("version"), seed) for seed in (3, 4))
    folder = tmp_path_factory.mktemp("seldon")
    settings = SeldonCoreSettings.model_validate(microservice_settings(folder))
    try:
        yield Place(MicroserviceServing(settings), (versions[0], versions[1]))
    finally:
        kill_all_of(folder)


def asked(url: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and content of an answer."""
    content = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, content, {"Content-Type": "application/json", **headers})) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def message(version: Version, rows: int = 3) -> dict[str, Any]:
    features = version.rows[version.bundle.features].head(rows).to_numpy(np.float64)
    values = np.where(np.isnan(features), None, features).tolist()
    return {"data": {"names": version.bundle.features, "ndarray": values}}


def test_it_answers_over_the_v1_protocol_with_its_version_and_digest(place: Place) -> None:
    served, version = place.serve(1), place.versions[0]
    status, answer = asked(place.serving.prediction_url(served, served.champion), message(version))
    assert (status, answer["data"]["names"]) == (200, ["p_severe"])
    got = np.array(answer["data"]["ndarray"])[:, 0]
    np.testing.assert_allclose(got, version.bundle.predict(version.matrix[:3]), rtol=0, atol=1e-12)
    assert answer["meta"]["tags"]["version"] == "1"
    assert answer["meta"]["tags"]["digest"] == version.bundle.digest
    url = place.serving.url(served, served.champion)
    status, metadata = asked(f"{url}/api/v1.0/metadata")
    assert (metadata["name"], metadata["versions"]) == (NAME, ["1"])
    assert metadata["inputs"][0]["schema"]["names"] == version.bundle.features
    assert metadata["custom"]["digest"] == version.bundle.digest
    health = asked(place.serving.health_url(served, served.champion))[1]
    assert health["meta"]["tags"]["digest"] == version.bundle.digest


def test_what_is_wrong_with_a_request_is_told(place: Place) -> None:
    served, version = place.serve(1), place.versions[0]
    url = place.serving.prediction_url(served, served.champion)
    wrong = message(version)
    wrong["data"]["ndarray"][1][0] = "one"
    status, answer = asked(url, wrong)
    first = version.bundle.features[0]
    assert status == 400
    assert answer["status"]["info"].startswith(f"Input 'features', row 1, column '{first}': 'one' is no FP64")
    lacking = message(version)
    lacking["data"]["names"] = lacking["data"]["names"][1:]
    assert asked(url, lacking)[1]["status"]["info"].startswith(f"Missing: {first}")
    assert asked(url, message(version), Origin="http://a.example")[0] == 403
    assert asked(url, message(version), Host="a.example")[0] == 403
    assert asked(url, message(version))[0] == 200


def test_it_listens_on_loopback_and_nowhere_else(place: Place) -> None:
    place.serve(1)
    listening = [
        (one.laddr.ip, one.laddr.port)
        for process in place.servers
        for one in process.net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {("127.0.0.1", place.record()["server"]["port"])}


def test_no_request_is_lost_while_versions_switch(place: Place) -> None:
    place.serve(1)
    failures, answered, over = list[str](), set[str](), threading.Event()
    rows = place.versions[0].rows[place.versions[0].bundle.features].head(2)
    expected = {
        tuple(np.round(one.bundle.predict(rows.to_numpy(np.float32)), 9)): str(number)
        for number, one in enumerate(place.versions, 1)
    }

    def ask() -> None:
        while not over.is_set():
            served = place.serving.served(NAME)
            assert served is not None
            try:
                got = place.serving.predict(served, served.champion, request(rows))
                answered.add(expected[tuple(np.round(got, 9))])
            except (StackError, KeyError) as error:
                failures.append(repr(error))

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for one in asking:
        one.start()
    try:
        place.switch(2)
    finally:
        over.set()
        for one in asking:
            one.join()
    assert failures == []
    assert answered == {"1", "2"}
    assert {process.pid for process in place.servers} == family_of(place.record()["server"]["pid"])
    assert len(list(place.folder.glob("*.log"))) == 1
    assert [path.name for path in place.folder.glob("bundles/*")] == [place.versions[1].bundle.digest]


def test_who_has_read_the_record_just_before_asks_the_next_version(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = place.serve(1)
    before = place.serving._required(NAME)
    place.switch(2)
    known = iter([before, place.serving._required(NAME)])
    monkeypatch.setattr(place.serving, "_required", lambda _name: next(known))
    version = place.versions[1]
    rows = version.rows[version.bundle.features].head(2)
    got = place.serving.predict(served, served.champion, request(rows))
    np.testing.assert_allclose(got, version.bundle.predict(rows.to_numpy(np.float32)), rtol=0, atol=1e-9)


def family_of(pid: int) -> set[int]:
    return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}


def test_what_does_not_serve_leaves_the_one_before_and_no_process(place: Place, tmp_path: Path) -> None:
    place.serve(1)
    before, processes = place.record(), {process.pid for process in place.servers}
    damaged = broken(place.versions[1], tmp_path / "damaged").bundle.folder
    refused = ServedBundle("2", place.versions[1].bundle.digest, str(damaged))
    with pytest.raises(StackError, match=r"(?s)ended at its start \(exit code 1\).*trees\.txt"):
        place.serving.switch(NAME, refused, place.golden(2))
    golden = place.golden(2)
    golden["p_severe"] = [p + 0.01 for p in golden["p_severe"]]
    with pytest.raises(StackError, match="does not give the golden probabilities"):
        place.serving.switch(NAME, place.bundle(2), golden)
    another = ServedBundle("2", "0" * 64, str(place.versions[1].bundle.folder))
    with pytest.raises(StackError, match="is not the one with the digest 000"):
        place.serving.switch(NAME, another, place.golden(2))
    assert place.record() == before
    assert {process.pid for process in place.servers} == processes
    assert place.fault() == ""


@pytest.mark.parametrize("killed", ["all", "parent"])
def test_one_that_is_killed_is_told_and_the_next_deployment_leaves_nothing_of_it(
    killed: str, place: Place
) -> None:
    served = place.serve(1)
    pid = place.record()["server"]["pid"]
    old = [psutil.Process(one) for one in family_of(pid)]
    assert len(old) == 2, "gunicorn and its worker"
    (os.killpg if killed == "all" else os.kill)(pid, signal.SIGKILL)
    psutil.wait_procs([one for one in old if one.pid == pid], 10)
    fault = place.fault()
    assert "has ended, and nobody brings it back; deploy again: python run.py --pipeline deploy" in fault
    assert "nobody brings" in place.serving.supervision(served)
    place.switch(1)
    assert place.fault() == ""
    assert not [process for process in old if is_alive(process)]


def test_a_worker_that_is_killed_is_brought_back_by_its_parent(place: Place) -> None:
    place.serve(1)
    (worker,) = psutil.Process(place.record()["server"]["pid"]).children()
    worker.kill()
    worker.wait(10)
    deadline = time.monotonic() + 60
    while place.fault() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert place.fault() == ""


def test_what_is_stopped_leaves_no_process_and_stays_known(place: Place) -> None:
    place.serve(1)
    old = place.servers
    place.serving.stop(NAME)
    served = place.serving.served(NAME)
    assert served is not None
    assert (served.stopped, served.champion.version) == (True, "1")
    assert not [process for process in old if is_alive(process)]
    assert all_of(place.folder) == []
    with pytest.raises(StackError, match="is not served: deploy again"):
        place.serving.predict(served, served.champion, request(place.versions[0].rows))


def test_a_record_that_is_damaged_is_told_and_mended_by_the_next_deployment(place: Place) -> None:
    place.serve(1)
    (place.folder / f"{NAME}.json").write_text("{", encoding="utf-8")
    with pytest.raises(StackError, match=r"does not say what is served .*deploy again"):
        place.serving.served(NAME)
    old = place.servers
    place.switch(1)
    assert place.fault() == ""
    assert not [process for process in old if is_alive(process)]


def test_the_record_of_a_copied_folder_names_a_process_of_the_original(place: Place, tmp_path: Path) -> None:
    place.serve(1)
    shutil.copy(place.folder / f"{NAME}.json", tmp_path)
    copied = MicroserviceServing(SeldonCoreSettings.model_validate(microservice_settings(tmp_path)))
    served = copied.served(NAME)
    assert served is not None
    assert "has ended" in copied.fault(served, served.champion)
    copied.stop(NAME)
    assert place.fault() == "", "the original's serves on"


def test_it_says_what_it_logs_and_is_forgotten_whole(place: Place) -> None:
    served = place.serve(1)
    said = "\n".join(place.serving.log(served, served.champion, 20))
    assert "Listening at: http://127.0.0.1" in said
    assert place.serving.how_to_follow(served, served.champion).startswith("tail -F ")
    place.serving.forget(NAME)
    assert place.serving.names() == []
    assert place.serving.served(NAME) is None
    assert all_of(place.folder) == []


def test_what_it_needs_is_named(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = microservice_settings(tmp_path, lock=str(tmp_path / "no.txt"))
    serving = MicroserviceServing(SeldonCoreSettings.model_validate(lacking))
    with pytest.raises(StackError, match=r"lock file .*no\.txt"):
        serving.reached()
    with pytest.raises(StackError, match=r"lock file .*no\.txt cannot be read"):
        serving.switch(NAME, place.bundle(1), place.golden(1))
    assert serving.names() == []
    monkeypatch.setattr(microservice_process, "_NEWEST_PYTHON", (sys.version_info.major, 0))
    with pytest.raises(StackError, match=r"runs on Python 3\.11 and 3\.12"):
        place.serving.reached()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"replicas": 3}, "runtime microservice has no use for replicas"),
        ({"context": "c", "image": "i:1"}, "runtime microservice has no use for context, image"),
        ({"lock": ""}, "runtime microservice needs lock"),
        ({"runtime": "seldon"}, "runtime seldon has no use for folder, lock, code"),
    ],
)
def test_settings_of_another_runtime_are_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=words):
        SeldonCoreSettings.model_validate({**microservice_settings(tmp_path), **changes})


def test_settings_may_say_what_is_so_by_default(tmp_path: Path) -> None:
    settings = SeldonCoreSettings.model_validate(microservice_settings(tmp_path))
    assert SeldonCoreSettings.model_validate(settings.model_dump()) == settings
