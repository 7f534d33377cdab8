"""The init container of a model server on Kubernetes: gets a bundle by its address, and checks it.

    python -m stacks.fetch_bundle URI FOLDER --model NAME --version N --digest SHA256 [--routes FILE]

FOLDER gets what MLServer serves: the bundle, and the model's settings. With `--brought FOLDER` the settings
alone: the platform's own init container brings the bundle there, and the model server checks it. The login of
the store comes from the environment, as its client takes it: AWS_ACCESS_KEY_ID,
AZURE_STORAGE_CONNECTION_STRING, FSSPEC_GS ... No ZenML is asked, so that a pod starts while its server is
away. Exit code 1 with one line where it cannot be had, or is another bundle.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from accidents.bundle import load_bundle
from accidents.errors import AccidentsError, BundleError
from stacks.components.mlserver.folder import write_json
from stacks.environment import READ_AT_IMPORT, keep_google_quiet
from stacks.mlserver_layout import SETTINGS_FILE, model_settings
from stacks.server_errors import diagnosis


def main() -> int:
    """Fetch, check, and write down what is served."""
    arguments = _parser().parse_args()
    os.environ.update(READ_AT_IMPORT | os.environ)
    keep_google_quiet()
    folder: Path = arguments.folder / arguments.model
    bundle: Path = arguments.brought or folder / "bundle"
    try:
        if not arguments.brought:
            fetch(arguments.uri, bundle)
            load_bundle(bundle, arguments.digest)
    except AccidentsError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    settings = model_settings(arguments.model, bundle, arguments.version, arguments.digest, arguments.routes)
    write_json(folder / SETTINGS_FILE, settings)
    is_here = "will be brought" if arguments.brought else "is here, and is the one that was registered"
    print(f"Version {arguments.version} of {arguments.model} {is_here}.")
    return 0


def fetch(uri: str, folder: Path) -> None:
    """Copy the files of a folder in an object store here. Raises BundleError if that cannot be done."""
    import fsspec

    try:
        store, path = fsspec.core.url_to_fs(uri)
        files = store.find(path)
        for file in files:
            here = folder / Path(file).relative_to(path)
            here.parent.mkdir(parents=True, exist_ok=True)
            store.get_file(file, str(here))
    except Exception as error:  # each store's client has its own
        raise BundleError(f"The bundle at {uri} cannot be read. {diagnosis(error) or error}") from error
    if not files:
        raise BundleError(f"The bundle at {uri} cannot be read: nothing is there.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stacks.fetch_bundle", description=__doc__.splitlines()[0]
    )
    parser.add_argument("uri", help="folder of the bundle, such as s3://bucket/.../data, az:// or gs://")
    parser.add_argument("folder", type=Path, help="models of the server")
    parser.add_argument("--model", required=True, help="name that it is asked by")
    parser.add_argument("--version", required=True)
    parser.add_argument("--digest", required=True, help="that the bundle must have")
    parser.add_argument("--routes", help="file that tells the versions beside it")
    parser.add_argument("--brought", type=Path, help="folder that the platform brings the bundle into")
    return parser


if __name__ == "__main__":
    sys.exit(main())
