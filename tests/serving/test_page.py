"""The control room's page in a headless Chromium, on the real API and a real model server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from accidents.predictions.prediction_log import PredictionLog
from documentation.browser import CHROMIUM, Page, browser, new_page
from documentation.screenshots import control_room
from serving.api.operations.keys import Keys
from stacks.components.mlserver.server import ModelServer
from tests.conftest import ROOT
from tests.model_servers import NAME, client_of
from tests.serving.api_process import api_process

WEB = ROOT / "serving" / "web"
HOSTILE = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>'; DROP TABLE x"
pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; CI installs it (.ci/system-packages)"),
]


@contextmanager
def api(folder: Path, model_server: str) -> Iterator[str]:
    """A real API whose keys and log are in `folder`; gives its address."""
    folder.mkdir(exist_ok=True)
    with api_process(folder, model_server, model_name=NAME) as running:
        yield running.address + "/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def url(server: ModelServer, folder: Path) -> Iterator[str]:
    """The page, on a model that is served as version 7."""
    with api(folder / "api", client_of(server).url) as address:
        yield address


@pytest.fixture(scope="module")
def devtools(folder: Path) -> Iterator[str]:
    with browser(folder / "profile") as address:
        yield address


@pytest.fixture
def page(devtools: str) -> Iterator[Page]:
    with new_page(devtools) as tab:
        yield tab


def put(page: Page, field: str, value: str) -> None:
    """Give a field a value as its picker would."""
    page.run(
        f"(each => (each.value = '{value}', each.dispatchEvent(new Event('input'))))"
        f"(document.getElementById('{field}'))"
    )


def state(name: str) -> str:
    """JavaScript: the result panel is in this state."""
    return f"document.getElementById('result').dataset.state === '{name}'"


def tab_to(page: Page, wanted: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(80):
        if page.focused() == wanted:
            return
        page.press("Tab")
    raise AssertionError(f"Tab never reached {wanted}")


@pytest.mark.parametrize("width", [1280, 390])
def test_its_picture_for_the_documentation_can_be_taken(page: Page, url: str, width: int) -> None:
    control_room(page, width, url)
    assert re.fullmatch(r"\d+%", page.text("#probability"))
    assert "69 Rhône" in page.text("#rows")
    filled = page.run(
        "[...document.querySelectorAll('#form select')].filter((each) => !each.value).map((each) => each.id)"
    )
    assert filled == ["junction"]
    assert page.complaints == []


@pytest.mark.parametrize(
    ("language", "title"), [("en-GB", "Accident severity"), ("fr-FR", "Gravité des accidents")]
)
@pytest.mark.parametrize("width", [1280, 390])
def test_it_loads_without_a_complaint(page: Page, url: str, language: str, title: str, width: int) -> None:
    page.open(url, language, width=width)
    page.until("document.getElementById('model').textContent")
    assert page.text("h1") == title
    assert page.run("document.documentElement.lang") == language[:2]
    assert page.run("!document.getElementById('synthetic').hidden")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("document.querySelectorAll('#map path').length") == 101
    assert page.run("document.querySelectorAll('#department option').length") == 108
    assert page.complaints == []


def test_every_text_is_there_in_both_languages(page: Page, url: str) -> None:
    page.open(url)
    missing = page.run(
        """import('/static/texts.js').then(({TEXTS}) =>
          Object.keys({...TEXTS.en, ...TEXTS.fr}).filter((key) => !(key in TEXTS.en) || !(key in TEXTS.fr))
            .concat([...document.querySelectorAll('[data-text], [data-label]')]
              .map((each) => each.dataset.text ?? each.dataset.label).filter((key) => !(key in TEXTS.en))))"""
    )
    assert missing == []


def test_every_control_has_a_name(page: Page, url: str) -> None:
    page.open(url)
    nameless = page.run(
        """[...document.querySelectorAll('input, select, button, svg[tabindex]')].filter((each) =>
          !(each.getAttribute('aria-label') || each.labels?.[0]?.textContent || each.textContent).trim())
          .map((each) => each.outerHTML)"""
    )
    assert nameless == []


def test_a_click_on_the_map_gives_the_department_and_a_prediction(page: Page, url: str) -> None:
    page.open(url)
    page.click("path[data-code='21']")
    page.until(state("ready"))
    assert page.value("department") == "21"
    assert abs(float(page.value("latitude")) - 47.46) < 0.3
    assert abs(float(page.value("longitude")) - 4.8) < 0.3
    assert re.fullmatch(r"\d+%", page.text("#probability"))
    assert page.text("#band") in ("low", "moderate", "high", "very high")
    reasons = page.run("[...document.querySelectorAll('#reasons .words')].map((one) => one.textContent)")
    assert "accident history of this place (Côte-d'Or)" in reasons
    assert not [one for one in reasons if "not stated" in one], "what is not known is no reason"
    assert re.fullmatch(r"Asking for .+ would help most: .+ by \d+ points", page.text("#ask"))
    assert "21 Côte-d'Or · 47." in page.text("#rows")
    assert re.search(r"\b7\b", page.text("#rows tr td:nth-child(8)"))
    assert re.fullmatch("[0-9a-f]{32}", page.text("#rows tr td:last-child"))
    assert page.complaints == []


def test_overseas_is_on_the_map_too(page: Page, url: str) -> None:
    page.open(url)
    page.click("#inset-974")
    page.click("path[data-code='974']")
    page.until(state("ready"))
    assert page.value("department") == "974"
    assert float(page.value("latitude")) < -20
    page.click("#inset-mainland")
    assert page.run("document.getElementById('inset-mainland').ariaPressed") == "true"


def test_from_nothing_to_a_prediction_by_keyboard_alone(page: Page, url: str) -> None:
    page.open(url)
    tab_to(page, "map")
    page.press("ArrowUp")
    start = float(page.value("latitude"))
    page.press("ArrowUp", times=4)
    page.press("ArrowLeft", shift=True)
    assert float(page.value("latitude")) > start
    assert page.value("department")
    page.until(state("ready"))
    before = page.run("document.querySelectorAll('#rows tr').length")
    tab_to(page, "light")
    page.press("ArrowDown")
    assert page.value("light") == "1"
    tab_to(page, "junction")
    page.press("Tab", times=2)  # built-up area, then the three choices about a pedestrian
    page.press("ArrowRight")
    page.press("Tab", times=2)  # "one fewer" and "one more" of the first kind of vehicle
    page.press(" ", times=2)
    assert page.run("document.querySelector('[data-kind=car] output').textContent") == "2"
    page.until(f"document.querySelectorAll('#rows tr').length > {before}")
    page.until(state("ready"))
    assert page.run("document.querySelector('[name=pedestrian]:checked').value") == "yes"
    assert page.complaints == []


def test_plus_and_minus_zoom_about_the_marker(page: Page, url: str) -> None:
    page.open(url)
    page.click("path[data-code='21']")
    seen = "document.getElementById('map').viewBox.baseVal.height"
    whole = page.run(seen)
    page.press("Tab", shift=True)  # away and back: the map takes keys when it has the focus
    tab_to(page, "map")
    page.press("+", times=3)
    assert page.run(seen) == pytest.approx(whole / 8, rel=1e-3)
    latitude = float(page.value("latitude"))
    page.press("ArrowDown")
    assert 0.005 < latitude - float(page.value("latitude")) < 0.02
    page.press("-", times=9)
    assert page.run(seen) == pytest.approx(whole)


def test_a_neighbouring_department_can_be_chosen_for_a_point(page: Page, url: str) -> None:
    page.open(url)
    page.write("latitude", "48.8396")
    page.write("longitude", "2.2399")  # Boulogne-Billancourt, by the coarse border of Paris
    page.until(state("ready"))
    put(page, "department", "92")
    page.until("document.querySelectorAll('#rows tr').length > 1")
    assert page.value("latitude") == "48.8396"
    assert "92 Hauts-de-Seine" in page.text("#rows tr td:nth-child(4)")
    put(page, "department", "13")
    assert page.value("latitude") == "", "a point in Paris contradicts Bouches-du-Rhône"


def test_a_department_alone_is_a_place(page: Page, url: str) -> None:
    page.open(url)
    tab_to(page, "department")
    page.press("2")
    page.press("B")
    page.until(state("ready"))
    assert page.value("department") == "2B"
    assert page.value("latitude") == ""
    assert page.text("#rows tr td:nth-child(4)") == "2B Haute-Corse"


def test_a_department_without_a_shape_is_a_place_too(page: Page, url: str) -> None:
    page.open(url)
    page.click("path[data-code='21']")
    put(page, "department", "988")
    page.until(state("ready"))
    assert page.value("latitude") == ""
    assert "988 " in page.text("#rows tr td:nth-child(4)")
    assert page.complaints == []


def test_what_is_filled_in_changes_the_figure(page: Page, url: str) -> None:
    page.open(url)
    page.click("path[data-code='21']")
    page.until(state("ready"))
    page.click("[name=pedestrian][value=yes]")
    page.until("document.querySelectorAll('#rows tr').length === 2")
    shares = page.run(
        "[...document.querySelectorAll('#rows .right')].map((each) => parseFloat(each.textContent))"
    )
    assert shares[0] > shares[1]


def test_many_quick_changes_are_one_prediction(page: Page, url: str) -> None:
    page.open(url)
    page.click("path[data-code='21']")
    page.until(state("ready"))
    for kind in ("car", "car", "lorry"):
        page.run(f"document.querySelector('[data-kind={kind}] button:last-child').click()")
    page.until("document.querySelectorAll('#rows tr').length > 1")
    time.sleep(1)
    sent = "performance.getEntriesByType('resource').filter((each) => each.name.includes('/predict')).length"
    assert page.run(sent) == 2


def test_of_an_accident_that_is_filled_in_the_last_answer_counts(page: Page, url: str, folder: Path) -> None:
    log = PredictionLog(f"sqlite:///{folder / 'api' / 'predictions.db'}")
    before = log.count()
    page.open(url)
    page.click("path[data-code='21']")
    page.until(state("ready"))
    for answers, kind in enumerate(("car", "lorry"), start=2):
        page.run(f"document.querySelector('[data-kind={kind}] button:last-child').click()")
        page.until(f"document.querySelectorAll('#rows tr').length === {answers}")
    page.click("#new")
    page.click("path[data-code='59']")
    page.until("document.querySelectorAll('#rows tr').length === 4")
    assert log.count() == before + 2
    log.close()


def test_the_language_can_be_switched(page: Page, url: str) -> None:
    page.open(url)
    page.click("path[data-code='21']")
    page.until(state("ready"))
    put(page, "light", "1")
    page.click("#french")
    page.until("document.querySelector('#light option:checked').textContent === 'plein jour'")
    page.until("document.querySelectorAll('#rows tr').length === 2")
    assert page.value("light") == "1"
    assert page.text("#result-title") == "Estimation"
    assert page.text("#band") in ("faible", "modérée", "élevée", "très élevée")
    assert "\u00a0%" in page.text("#probability")
    assert page.run("document.documentElement.lang") == "fr"
    page.click("#english")
    page.until("document.querySelector('#light option:checked').textContent === 'daylight'")
    assert page.complaints == []


def test_hostile_text_is_shown_as_text(page: Page, url: str) -> None:
    page.open(url)
    page.write("accident_id", HOSTILE)
    page.write("latitude", HOSTILE)
    page.click("path[data-code='21']")
    page.until(state("ready"))
    assert page.run("document.querySelector('#rows td:nth-child(2)').textContent") == HOSTILE
    page.write("latitude", "<b>48</b>")
    page.until(state("invalid"))
    assert page.run("document.querySelectorAll('main script, main img, main b').length") == 0
    assert page.run("window.hacked") is None
    assert page.complaints == []


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("latitude", "95", "90"),
        ("latitude", "north", "a number of degrees"),
        ("latitude", "Infinity", "a number of degrees"),
        ("longitude", "", "go together"),
        ("latitude", "46.0", "at sea"),
    ],
)
def test_bad_input_is_told_at_the_field(page: Page, url: str, field: str, text: str, said: str) -> None:
    page.open(url)
    page.write("latitude", "46.2")
    page.write("longitude", "-7.5" if said == "at sea" else "5.2")
    put(page, field, text)
    page.until("document.querySelector('.mistake')")
    page.until(state("invalid"))
    assert said in page.text(".where .mistake")
    assert page.run("document.getElementById('answer').hidden"), "a figure beside an accident it is not for"


def test_an_impossible_time_is_told_at_the_time(page: Page, url: str) -> None:
    page.open(url)
    page.click("path[data-code='21']")
    page.until(state("ready"))
    put(page, "time", "1900-01-01T10:00")
    page.until(state("invalid"))
    assert "2005-01-01" in page.text("[data-field=time] .mistake")
    assert page.run("document.getElementById('time').getAttribute('aria-invalid')") == "true"


def test_a_new_accident_starts_from_nothing(page: Page, url: str) -> None:
    page.open(url)
    page.write("accident_id", "A-1")
    page.click("path[data-code='21']")
    page.click("[data-kind=car] button:last-child")
    page.until(state("ready"))
    page.click("#new")
    page.until(state("idle"))
    assert [page.value(each) for each in ("accident_id", "latitude", "department")] == ["", "", ""]
    assert page.value("time")
    assert page.run("document.querySelector('[data-kind=car] output').textContent") == "0"
    assert page.run("document.getElementById('answer').hidden")
    assert page.run("document.querySelectorAll('#rows tr').length") == 1


def test_where_a_key_is_needed_it_is_asked_for(page: Page, server: ModelServer, tmp_path: Path) -> None:
    key = Keys(tmp_path / "keys.json").new("control-room")
    with api(tmp_path, client_of(server).url) as guarded:
        page.open(guarded)
        page.click("path[data-code='21']")
        page.until(state("key"))
        assert page.focused() == "key"
        page.write("key", "wrong")
        page.press("Enter")
        page.until("document.getElementById('state').textContent.includes('not accepted')")
        page.write("key", key)
        page.press("Enter")
        page.until(state("ready"))
        assert page.run("Object.values(sessionStorage)") == [key]
        assert key not in page.run("document.documentElement.outerHTML + JSON.stringify({...localStorage})")
        page.click("#forget")
        assert page.run("Object.values(sessionStorage)") == []


def test_it_comes_back_by_itself_when_the_network_does(page: Page, url: str) -> None:
    page.open(url)
    page.click("path[data-code='21']")
    page.until(state("ready"))
    speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.call("Network.emulateNetworkConditions", offline=True, **speed)
    page.click("[data-kind=car] button:last-child")
    page.until(state("later"))
    assert "cannot be reached" in page.text("#state")
    page.call("Network.emulateNetworkConditions", offline=False, **speed)
    page.until(state("ready"))
    assert page.run("document.querySelectorAll('#rows tr').length") == 2


def test_it_says_that_no_model_answers(page: Page, devtools: str, tmp_path: Path) -> None:
    with api(tmp_path, "http://127.0.0.1:9") as alone:
        assert httpx.get(f"{alone}health/ready", trust_env=False).status_code == 503
        page.open(alone)
        page.until(state("later"))
        assert "model server does not answer" in page.text("#state")
        page.click("path[data-code='21']")
        page.until(
            "performance.getEntriesByType('resource').filter((e) => e.name.includes('/predict')).length > 1"
        )
        assert page.run(state("later") + " || " + state("loading"))


def test_the_files_keep_to_the_policy() -> None:
    """Nothing inline, no markup made from text, no address of another host."""
    for file in sorted(WEB.iterdir()):
        if file.suffix in (".html", ".js", ".css"):
            text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), file
            assert not re.search(r"\sstyle=|\son\w+=|https?://|@import", text), file
    html = (WEB / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?! type=\"module\" src=\"static/app.js\"></script>)", html) == []
    assert "<style" not in html
