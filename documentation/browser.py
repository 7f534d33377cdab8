"""A headless Chromium for tests and pictures, driven by its DevTools protocol: nothing to download."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_KEYS = {
    "Tab": 9,
    "Enter": 13,
    " ": 32,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "+": 187,
}
_ECHOED = {" ": " ", "Enter": "\r", "+": "+"}  # keys that make a character


class Page:
    """One tab. What the page complains of (console, exceptions, policy) is kept in `complaints`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One DevTools command, and its answer."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=20))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return dict(message["result"])
            self._listen(message)

    def _listen(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str(params["args"]))
        elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(str(params["entry"]))

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(
        self,
        url: str,
        language: str = "en-GB",
        width: int = 1280,
        height: int = 800,
        built: str = "document.querySelectorAll('#light option').length > 1",
    ) -> None:
        """Load a page and wait until it has built itself: by default, the control room's."""
        agent = self.run("navigator.userAgent")
        self.call("Network.setUserAgentOverride", userAgent=agent, acceptLanguage=language)
        self.call("Storage.clearDataForOrigin", origin=url.rstrip("/"), storageTypes="all")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self.call("Page.navigate", url=url)
        self.until(built)

    def until(self, condition: str, seconds: float = 20) -> None:
        """Wait for a JavaScript condition."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, (
                f"not in {seconds} s: {condition}; it says {self.text('body')[:500]}"
            )
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        """Return what an element shows."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def value(self, field: str) -> str:
        """Return what a field holds, by its id."""
        return str(self.run(f"document.getElementById({json.dumps(field)}).value"))

    def write(self, field: str, text: str) -> None:
        """Type into a field, by its id, in place of what it holds."""
        self.run(f"(each => (each.focus(), each.select()))(document.getElementById({json.dumps(field)}))")
        self.call("Input.insertText", text=text)

    def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        """Click at a share of an element's width and height."""
        box = self.run(
            f"(e => (e.scrollIntoView({{block: 'center'}}), (({{x, y, width, height}}) =>"
            f" ({{x, y, width, height}}))(e.getBoundingClientRect())))"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        at = {"x": box["x"] + box["width"] * x, "y": box["y"] + box["height"] * y}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def press(self, key: str, times: int = 1, shift: bool = False) -> None:
        """Press a key."""
        common = {"key": key, "windowsVirtualKeyCode": _KEYS.get(key, ord(key[0].upper()))}
        common["modifiers"] = 8 if shift else 0
        character = _ECHOED.get(key, key if len(key) == 1 else None)
        for _ in range(times):
            down = {"type": "keyDown", "text": character} if character else {"type": "rawKeyDown"}
            self.call("Input.dispatchKeyEvent", **down, **common)
            self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def focused(self) -> str:
        """Id of the element that has the focus, "" for none."""
        return str(self.run("document.activeElement.id"))

    def picture(self, path: Path) -> None:
        """Save a screenshot of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[str]:
    """Start Chromium with its profile in `folder`; gives the address of its DevTools."""
    assert CHROMIUM
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server"]
    command += ["--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0"]
    command += [f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        yield _devtools(process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _devtools(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    for line in process.stderr:
        match = re.search(r"DevTools listening on ws://([^/]+)/", line)
        if match:
            return f"http://{match[1]}"
    raise AssertionError(f"Chromium ended with {process.wait()} before it listened")


@contextmanager
def new_page(devtools: str) -> Iterator[Page]:
    """Open a fresh tab with storage of its own."""
    with httpx.Client(base_url=devtools, trust_env=False) as client:
        target = client.put("/json/new?about:blank").json()
        with connect(target["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            page = Page(socket)
            yield page
        client.get(f"/json/close/{target['id']}")
