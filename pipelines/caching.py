"""A step runs again if its inputs, its parameters, the code it runs through or the libraries have changed."""

from __future__ import annotations

from typing import Any

from zenml.config.cache_policy import CachePolicy

from accidents.bundle.provenance import APART
from accidents.files import ROOT
from accidents.source_code import files_of, libraries


def cached(step: Any, but: tuple[str, ...] = APART) -> Any:
    """Return a step whose results are kept as long as they would come out the same.

    Parameters
    ----------
    but : packages that it imports and that its results do not depend on.
    """
    files = files_of(step.entrypoint.__module__, but=but)
    policy = CachePolicy.model_validate(
        {
            "file_dependencies": [path.relative_to(ROOT).as_posix() for path in files],
            "cache_func": libraries,
        }
    )
    return step.with_options(cache_policy=policy)
