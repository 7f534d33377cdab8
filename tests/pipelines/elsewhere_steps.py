"""Steps for an orchestrator that runs them elsewhere, and a pipeline of them.

Import it when the store is there: ZenML asks for its environment as soon as a step is declared.
"""

import os
import signal
import tempfile
from pathlib import Path
from typing import Annotated, Any

from zenml import pipeline, step
from zenml.enums import ExecutionMode

from accidents.errors import SourceError
from steps.folder import Folder, FolderMaterializer
from steps.support.references import VersionReference, bundle_of

WORD = "The files are not there. Look for them."


@step(enable_cache=False)
def where(how: str) -> Annotated[int, "process"]:
    """The process that runs it; or it fails: of an error, of a defect, broken off, or killed."""
    if how == "error":
        raise SourceError(WORD)
    if how == "defect":
        raise ZeroDivisionError("a defect")
    if how == "broken off":
        raise KeyboardInterrupt
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


@step(enable_cache=False, output_materializers=FolderMaterializer)
def write(process: int) -> Annotated[Folder, "written"]:
    """A file in a folder."""
    folder = Path(tempfile.mkdtemp())
    (folder / "process.txt").write_text(str(process))
    return Folder(folder)


@pipeline(name="elsewhere", execution_mode=ExecutionMode.FAIL_FAST)
def elsewhere(how: str = "well") -> None:
    """Run both."""
    write(where(how))


@step(enable_cache=False)
def read(bundle: Folder) -> Annotated[str, "text"]:
    """What is in the bundle's one file."""
    return (bundle / "a.txt").read_text()


@pipeline(name="reuse", execution_mode=ExecutionMode.FAIL_FAST)
def reuse(version: VersionReference) -> None:
    """Read the bundle of a version."""
    bundle: Any = bundle_of(version)
    read(bundle)
