"""`make repro`: the stages of dvc.yaml depend on the code they run, and dvc.lock is what they gave.

python -m commands.repro            write what the stages depend on into dvc.yaml, then `dvc repro`
python -m commands.repro --check    fail where dvc.yaml or dvc.lock is not of this code; needs no data
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from accidents.bundle.provenance import APART
from accidents.params import Params
from accidents.source_code import files_of
from commands.project import ROOT
from pipelines.identity import MAKE_A_BUNDLE, TUNING

NOT_OF_A_RUN = {"data", "monitor", "keep"}  # sections that change nothing in a run of the train stage
DVC = Path(sys.executable).with_name("dvc")


def code_of_stages() -> dict[str, list[str]]:
    """Files that the work of each stage runs through."""
    training = [*files_of(*MAKE_A_BUNDLE, TUNING, but=APART), *files_of("accidents.reports.curves")]
    return {
        "raw": _named(files_of("accidents.data.sources")),
        "prepared": _named(
            files_of("accidents.data.reading", "accidents.data.table_files", but=("accidents.data.sources",))
        ),
        "train": _named(training),
    }


def write_stages(root: Path = ROOT) -> None:
    """Put those files, and the parameters of a training, into dvc.yaml."""
    yaml = YAML()
    yaml.width = 110
    content: Any = yaml.load(root / "dvc.yaml")
    for stage, code in code_of_stages().items():
        known = content["stages"][stage]
        data = [dependency for dependency in known.get("deps", []) if dependency.startswith("data/")]
        known["deps"] = [*data, *code]
    content["stages"]["train"]["params"] = [
        section for section in Params.model_fields if section not in NOT_OF_A_RUN
    ]
    yaml.dump(content, root / "dvc.yaml")


def wrong_stages(root: Path = ROOT) -> Iterator[str]:
    """Files of code that dvc.yaml has too many or too few."""
    stages = YAML(typ="safe").load(root / "dvc.yaml")["stages"]
    for stage, code in code_of_stages().items():
        listed = {
            dependency for dependency in stages[stage].get("deps", []) if not dependency.startswith("data/")
        }
        yield from (f"dvc.yaml: {stage}: {file}" for file in sorted(listed ^ set(code)))


def stale_lock(root: Path = ROOT) -> Iterator[str]:
    """Yield what dvc.lock has otherwise than the code and params.yaml are now; data need not be there."""
    done = subprocess.run([DVC, "status", "--json"], cwd=root, capture_output=True, text=True, check=True)
    for stage, changes in json.loads(done.stdout).items():
        for change in changes:
            yield from (f"dvc.lock: {stage}: {stale}" for stale in _stale(change))


def _stale(change: Any) -> Iterator[str]:
    """Of one change that DVC tells, what is stale; files that are not here are data, which a clone lacks."""
    if not isinstance(change, dict):
        yield str(change)
        return
    for what in ("changed deps", "changed command"):
        for name, how in dict(change.get(what, {})).items():
            if how != "deleted":
                yield f"{name} {how}"


def _named(paths: Iterable[Path]) -> list[str]:
    return sorted({path.relative_to(ROOT).as_posix() for path in paths})


def main(words: list[str]) -> int:
    """0 if all is well."""
    if words == ["--check"]:
        stale = [*wrong_stages(), *stale_lock()]
        if stale:
            print("\n".join([*stale, "Run `make repro` and commit dvc.yaml and dvc.lock."]))
        return bool(stale)
    write_stages()
    return subprocess.run([DVC, "repro"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
