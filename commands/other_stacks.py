"""What still serves on other stacks than the one that is asked about, and which of all of it is live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from accidents.errors import AccidentsError
from commands.api import API, ASKED
from stacks.endpoints import Endpoint, Endpoints, State, other_endpoints
from stacks.errors import NotAppliedError, StackError


def beside(stack: str, deployed: Mapping[str, Endpoint]) -> dict[str, str]:
    """Lines of `run.py status`; none where nothing serves on another stack.

    Parameters
    ----------
    deployed : the endpoints of the stack itself, by model.
    """
    places, lines = {stack: set(_addresses(deployed.values()))}, list[str]()
    for other, endpoints in other_endpoints(stack).items():
        try:
            serving = _serving(endpoints)
            if serving:
                places[other] = set(_addresses(serving))
                lines.append(_line(other, serving))
        except NotAppliedError:
            continue  # serves nothing
        except (StackError, AccidentsError) as error:
            lines.append(f"stack {other} cannot be asked: {error}")
    if not lines:
        return {}
    live = {"Live": _live(places)} if len(places) > 1 else {}
    return {"Beside": "; ".join(lines), **live}


def _serving(endpoints: Endpoints) -> list[Endpoint]:
    every = [endpoints.endpoint(name) for name in endpoints.names()]
    return [endpoint for endpoint in every if endpoint.state().state == State.healthy]


def _addresses(endpoints: Iterable[Endpoint]) -> Iterator[str]:
    yield from (address for endpoint in endpoints if (address := endpoint.v2_address()))


def _line(stack: str, serving: list[Endpoint]) -> str:
    what = ", ".join(
        f"{endpoint.name} version {endpoint.versions()[0].version} "
        f"at {endpoint.v2_address() or endpoint.state().url}"
        for endpoint in serving
    )
    return f"stack {stack} still serves {what}; python run.py stop --stack {stack} ends it"


def _live(places: Mapping[str, set[str]]) -> str:
    """Which stack's endpoint people's requests reach: the one that the API asks."""
    asked = API.variable(ASKED)
    if asked is None:
        return "none of them: no API runs in the background that would ask one"
    stacks = [stack for stack, addresses in places.items() if asked in addresses]
    return f"stack {stacks[0]}: the API asks {asked}" if stacks else f"none of them: the API asks {asked}"
