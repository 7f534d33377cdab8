"""Keys in files: `python -m serving.api.operations.provide_keys FOLDER NAME ...`.

What FOLDER/NAME holds stays while it is a key of the API; one that is missing or lost is made anew. Its group
may read the file: the programs that present keys are other users in their containers.
"""

from __future__ import annotations

import sys
from pathlib import Path

from accidents.errors import AccidentsError
from accidents.files import write_whole
from accidents.predictions.store import PredictionStore
from serving.api.operations.keys import KeyRing
from serving.api.operations.keys_in_database import keys_for
from serving.api.settings import load_settings


def provide_key(keys: KeyRing, name: str, path: Path, mode: int = 0o600) -> None:
    """Have `path` hold the key of `name`."""
    if path.exists() and keys.check(path.read_text(encoding="utf-8")):
        return
    if name in keys.names():
        keys.revoke(name)
    write_whole(path, keys.new(name), mode=mode)


def main(folder: str, *names: str) -> int:
    """Provide them; 1 where the settings or the keys do not allow it."""
    try:
        settings = load_settings()
        keys = keys_for(settings, PredictionStore(settings.database_url))
        for name in names:
            provide_key(keys, name, Path(folder) / name, mode=0o640)
    except (AccidentsError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
