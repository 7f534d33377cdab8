"""Our images in a registry, by digest: dist/images.json says which.

    .ci/release_images.py push REGISTRY TAG [IMAGE ...]     what `make images TAG=` has built
    .ci/release_images.py find REGISTRY TAG [IMAGE ...]     what the registry has under a tag
    .ci/release_images.py promote REGISTRY TAG NEW [IMAGE ...]   the same digests, under a further tag

In a job of GitHub's, `registry` and `digests` are its outputs. DIGESTS, such an output, is what a tag must be
of: those that were attested. Python alone is enough.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from registry import Manifest, NotThereError, RegistryError, Repository

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "dist" / "images.json"
IMAGES = ("api", "model-server", "seldon", "pipelines")


def push(registry: str, tag: str, images: tuple[str, ...]) -> dict[str, str]:
    """Push what is built; return the digest of each image."""
    for image in images:
        name = f"{registry}/{image}:{tag}"
        subprocess.run(["docker", "tag", f"road-accidents/{image}:{tag}", name], check=True)
        subprocess.run(["docker", "push", "--quiet", name], check=True, stdout=subprocess.DEVNULL)
    return find(registry, tag, images)


def find(registry: str, tag: str, images: tuple[str, ...]) -> dict[str, str]:
    """Return the digest that each image has under a tag."""
    return {image: manifest.digest for image, manifest in _manifests(registry, tag, images).items()}


def promote(registry: str, tag: str, new: str, images: tuple[str, ...]) -> dict[str, str]:
    """Put a further tag on what a tag is of: on all images or, where one is missing or other, on none."""
    manifests = _manifests(registry, tag, images)
    repositories = {image: Repository(f"{registry}/{image}") for image in images}
    for image, repository in repositories.items():
        _require_free(repository, new, manifests[image])
    for image, repository in repositories.items():
        repository.tag(manifests[image], new)
    return {image: manifest.digest for image, manifest in manifests.items()}


def _manifests(registry: str, tag: str, images: tuple[str, ...]) -> dict[str, Manifest]:
    """Return what a tag is of. Raises RegistryError where DIGESTS says otherwise."""
    wanted = json.loads(os.environ.get("DIGESTS") or "{}")
    manifests = {image: Repository(f"{registry}/{image}").manifest(tag) for image in images}
    for image, manifest in manifests.items():
        if wanted and manifest.digest != wanted.get(image):
            raise RegistryError(
                f"{registry}/{image}:{tag} is {manifest.digest} now, and {wanted.get(image)} was attested: "
                "find out who has put the tag there."
            )
    return manifests


def _require_free(repository: Repository, tag: str, manifest: Manifest) -> None:
    """Raise RegistryError if a tag stands on another manifest than this."""
    try:
        stands = repository.manifest(tag).digest
    except NotThereError:
        return
    if stands != manifest.digest:
        raise RegistryError(
            f"{repository.name}:{tag} is {stands} already, and not {manifest.digest}: what is released "
            "stays. Raise the version."
        )


def main(words: list[str]) -> int:
    """Do it and write dist/images.json; 1 if the registry or the engine does not do it."""
    does = {"push": (push, 2), "find": (find, 2), "promote": (promote, 3)}
    if not words or words[0] not in does or len(words) <= does[words[0]][1]:
        print(__doc__, file=sys.stderr)
        return 2
    action, count = does[words[0]]
    registry, *tags = words[1 : 1 + count]
    registry = registry.lower()  # what an owner of GitHub's may not be, a registry's names must be
    try:
        digests = action(registry, *tags, tuple(words[1 + count :]) or IMAGES)
    except RegistryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(
            f"Error: {' '.join(error.cmd)} failed. Images that are not built: make images TAG=...",
            file=sys.stderr,
        )
        return 1
    FILE.parent.mkdir(exist_ok=True)
    named = {image: f"{registry}/{image}@{digest}" for image, digest in digests.items()}
    FILE.write_text(json.dumps(named, indent=1) + "\n", encoding="utf-8")
    print("\n".join(named.values()))
    if output := os.environ.get("GITHUB_OUTPUT"):
        with open(output, "a", encoding="utf-8") as file:
            file.write(f"registry={registry}\ndigests={json.dumps(digests)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
