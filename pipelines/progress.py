"""A line for each step that runs, so that a person sees how far a pipeline has come."""

import sys

from zenml import get_step_context


def step_started() -> None:
    """Name the step that begins (a hook of ZenML's; cached steps do not call it)."""
    tell(get_step_context().step_run.name)


def tell(step: str) -> None:
    """Print the line of a step."""
    print(f"  {step.replace('_', ' ')} ...", file=sys.stderr, flush=True)
