"""`make pictures`: the pictures of pages in docs/, of what `make demo` leaves running and written.

That of ZenML's dashboard needs `make dashboard` beside it, that of Airflow `make airflow` with
accidents_daily switched on and run. Names take only these: `python -m documentation.screenshots zenml.png`.
Each is shown on a page. Not Prometheus' alerts: its page names folders.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
from PIL import Image

from commands.airflow import HOME, PASSWORDS
from documentation.browser import CHROMIUM, Page, browser, new_page

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
API = "http://127.0.0.1:8000/"
ZENML = "http://127.0.0.1:8237/"
AIRFLOW = "http://127.0.0.1:8080/"
PATIENCE = 60  # seconds in which a page shows what is waited for
_ANSWERED = "document.getElementById('result').dataset.state === 'ready'"
_LOADED = "document.readyState === 'complete' && document.body && document.body.innerText.length > 200"


class Picture(NamedTuple):
    """A page at a width in pixels, after what somebody does on it, and the command that has it run."""

    name: str
    width: int
    take: Callable[[Page, int], None]
    needs: str = "make demo"


def control_room(page: Page, width: int, address: str = API) -> None:
    """Show the API's page with what a caller in Lyon says, answered."""
    page.open(address, width=width)
    chosen = {"department": "69", "light": 1, "weather": 2, "road_class": 4, "built_up": 2, "speed_limit": 3}
    for field, option in chosen.items():
        value = f"'{option}'" if isinstance(option, str) else f"each.options[{option}].value"
        page.run(
            f"(each => (each.value = {value}, each.dispatchEvent(new Event('input'))))"
            f"(document.getElementById('{field}'))"
        )
    page.run("document.querySelector('[name=pedestrian][value=yes]').click()")
    page.run("document.querySelectorAll('#vehicles button')[1].click()")  # one car more
    page.until("document.getElementById('rows').children.length", PATIENCE)
    page.until(_ANSWERED, PATIENCE)
    page.run("scrollTo(0, 0)")


def report(name: str) -> Callable[[Page, int], None]:
    """Show a page that a run has written."""

    def take(page: Page, width: int) -> None:
        path = ROOT / name
        if not path.exists():
            raise FileNotFoundError(f"{name} is not there.")
        page.open(path.as_uri(), width=width, built=_LOADED)

    return take


def dashboard(address: str, text: str) -> Callable[[Page, int], None]:
    """Show a server's page once it shows this text."""

    def take(page: Page, width: int) -> None:
        page.open(address, width=width, built="document.body")
        page.until(f"{_LOADED} && document.body.innerText.includes({text!r})", PATIENCE)

    return take


def airflow_run(page: Page, width: int) -> None:
    """Show the newest run of `accidents_daily` that succeeded, logged in as `make airflow` has it."""
    passwords = json.loads((HOME / PASSWORDS).read_text(encoding="utf-8"))
    login = dict(zip(("username", "password"), next(iter(passwords.items())), strict=True))
    with httpx.Client(base_url=AIRFLOW, trust_env=False) as client:
        answer = client.post("auth/token", json=login).raise_for_status()
        token = answer.json()["access_token"]
        runs = client.get(
            "api/v2/dags/accidents_daily/dagRuns",
            params={"order_by": "-run_after", "limit": 1, "state": "success"},
            headers={"Authorization": f"Bearer {token}"},
        ).raise_for_status()
    newest = runs.json()["dag_runs"]
    if not newest:
        raise FileNotFoundError("accidents_daily has not run yet.")
    page.open(AIRFLOW, width=width, height=640, built="document.body")
    page.call("Network.setCookie", name="_token", value=token, url=AIRFLOW)
    panels = json.dumps({"details-panel,main-panel": {"expandToSizes": {}, "layout": [62, 38]}})
    for key, value in {"default_dag_view": '"graph"', "react-resizable-panels:graph-ltr": panels}.items():
        page.run(f"localStorage.setItem({key!r}, {value!r})")
    page.call("Page.navigate", url=f"{AIRFLOW}dags/accidents_daily/runs/{newest[0]['dag_run_id']}")
    page.until("document.querySelectorAll('.react-flow__node').length >= 6", PATIENCE)
    page.until("document.body.innerText.includes('Task Instances')", PATIENCE)


PICTURES = (
    Picture("page.png", 1280, control_room),
    Picture("reports.png", 1000, report("reports/index.html")),
    Picture("zenml.png", 1280, dashboard(f"{ZENML}projects/default/pipelines", "train"), "make dashboard"),
    Picture("airflow.png", 1280, airflow_run, "make airflow"),
)


def main(names: Sequence[str] = ()) -> int:
    """Take them into docs/, or those of these names; 1 where one could not be, told plainly."""
    if unknown := set(names) - {picture.name for picture in PICTURES}:
        print(f"No such picture: {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    if CHROMIUM is None:
        print("No Chromium here. Debian, Ubuntu: apt install chromium.", file=sys.stderr)
        return 1
    missed = 0
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as devtools:
        for picture in PICTURES:
            if names and picture.name not in names:
                continue
            with new_page(devtools) as page:
                page.call("Emulation.setScrollbarsHidden", hidden=True)  # they take of the width
                try:
                    picture.take(page, picture.width)
                except (AssertionError, OSError, ValueError, httpx.HTTPError) as error:
                    missed += 1
                    print(f"{picture.name}: {error} Does `{picture.needs}` run?", file=sys.stderr)
                    continue
                page.picture(DOCS / picture.name)
            smaller(DOCS / picture.name)
            print(f"docs/{picture.name}")
    return 1 if missed else 0


def smaller(path: Path) -> None:
    """Keep 256 colours of a picture: of pages nobody sees the rest, and it is a third of the size."""
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
