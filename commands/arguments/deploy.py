"""`run.py --pipeline deploy`."""

from __future__ import annotations

from typing import Annotated

import typer

from accidents.errors import SettingsError
from accidents.rollout.traffic_split import CHALLENGER, SHADOW, SHARES
from commands.arguments import options
from commands.arguments.options import prepare, read_params


def deploy(
    version: Annotated[
        str | None, typer.Option(help="Serve this version, not the champion.", metavar="VERSION")
    ] = None,
    canary: Annotated[
        int | None,
        typer.Option(
            min=SHARES[0],
            max=SHARES[-1],
            metavar="PERCENT",
            help="Have --version answer so many percent, the champion the rest.",
        ),
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Have --version score a copy of each request, unanswered.")
    ] = False,
    stage: options.Stage = None,
    stack: options.Stack = "local",
    params: options.ParamsFile = None,
    config: options.ConfigFile = None,
) -> None:
    """Prove the champion on golden rows, then serve it through the stack's model deployer."""
    if canary is not None and shadow:
        raise SettingsError("--canary and --shadow: a version is on trial as one of the two")
    if (canary is not None or shadow) and version is None:
        raise SettingsError("--canary and --shadow need --version: which one is on trial?")
    prepare(stack)
    asked = read_params(params, {"stage": stage})
    if canary is None and not shadow:
        from commands.deploy import deploy as run

        run(asked, stack, config, version)
        return
    from commands.trial import try_version

    role = SHADOW if shadow else CHALLENGER
    try_version(asked, stack, config, str(version), role, canary or 0)
