"""Show MLflow's pages of a stack's runs until Ctrl-C: `python -m stacks.mlflow_ui [--stack NAME]`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from stacks.environment import prepare_environment
from stacks.errors import StackError

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Become `mlflow ui` on the store of the stack's tracker; of a server that has pages, tell where."""
    parser = argparse.ArgumentParser(prog="python -m stacks.mlflow_ui", description=__doc__)
    parser.add_argument("--stack", default="local", help="stack whose experiment tracker has the runs")
    stack = parser.parse_args().stack
    prepare_environment(ROOT)
    try:
        address = tracking_address(stack)
    except StackError as error:
        sys.exit(f"Error: {error}")
    if address.startswith("http"):
        print(f"MLflow's pages of stack {stack}: {address}")
        return
    mlflow = str(Path(sys.executable).with_name("mlflow"))
    os.execv(mlflow, [mlflow, "ui", "--host", "127.0.0.1", "--backend-store-uri", address])


def tracking_address(stack: str) -> str:
    """Return where the stack's tracker keeps runs. Raises StackError if it has none."""
    from stacks.apply import use_stack

    use_stack(stack)
    from zenml.client import Client

    tracker = Client().active_stack.experiment_tracker
    if tracker is None:
        raise StackError(f"Stack {stack} has no experiment tracker: choose one that has, with --stack.")
    return str(tracker.get_tracking_uri())  # type: ignore[attr-defined]  # of ZenML's MLflow tracker


if __name__ == "__main__":
    main()
