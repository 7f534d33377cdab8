"""Ask the API in the background about the example accident, as anybody could: `python -m commands.call`.

`--how` only prints the command to copy.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from accidents.errors import AccidentsError
from commands.api import API, EXAMPLE, KEY, how_to_call
from commands.project import ROOT, console, open_own

VARIANTS: dict[str, dict[str, Any]] = {
    "The example": {},
    "The same, no pedestrian hit": {"pedestrian": False},
    "The same, where 80 km/h are allowed": {"speed_limit": 80},
}


def ask(url: str, accident: dict[str, Any]) -> dict[str, Any]:
    """POST one accident; the API's answer. Raises AccidentsError with what the API said."""
    headers = {"Content-Type": "application/json", "X-API-Key": os.environ.get(KEY, "")}
    request = urllib.request.Request(f"{url}/predict", json.dumps(accident).encode(), headers)
    try:
        with open_own(request, timeout=10) as answer:
            answered: dict[str, Any] = json.load(answer)
            return answered
    except urllib.error.HTTPError as error:
        hint = f" Put your key into {KEY}." if error.code == 401 else ""
        raise AccidentsError(f"The API answered {error.code}: {error.read().decode()}{hint}") from None
    except (OSError, HTTPException) as error:  # it may also break off in the middle of an answer
        raise AccidentsError(f"The API at {url} does not answer: {error}") from None


def main(words: list[str]) -> int:
    """Ask about the example and its variants, or say how."""
    url = API.url
    if url is None:
        console.print("The API does not run in the background: python run.py serve --detach")
        return 1
    if words == ["--how"]:
        console.print(how_to_call(url), highlight=False, soft_wrap=True)
        return 0
    accident = json.loads((ROOT / EXAMPLE).read_text(encoding="utf-8"))
    for name, change in VARIANTS.items():
        try:
            answer = ask(url, accident | change)
        except AccidentsError as error:
            console.print(str(error), markup=False)
            return 1
        why = "; ".join(reason["text"] for reason in answer["reasons"][:3])
        next_question = f" ({answer['ask']['text']})" if answer["ask"] else ""
        line = f"{name}: {answer['probability']:.1%}, {answer['band']}. {why}{next_question}"
        console.print(line, markup=False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
