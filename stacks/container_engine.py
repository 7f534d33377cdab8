"""The container engine of this machine; what it lacks or refuses is told in a sentence, with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stacks.errors import StackError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.images import Image


@contextmanager
def container_engine() -> Iterator[DockerClient]:
    """Ask the engine. Raises StackError if it does not answer, or refuses what is asked."""
    import docker
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException

    try:
        client = docker.from_env()
    except DockerException as error:
        raise StackError(_why_silent(str(error))) from error
    try:
        yield client
    except APIError as error:
        raise StackError(f"The container engine refuses: {error.explanation or error}") from error
    except RequestException as error:
        raise StackError(_why_silent(str(error))) from error
    finally:
        client.close()


def find_image(client: DockerClient, name: str) -> Image:
    """Find an image of this machine. Raises StackError if it is not there: none is pulled."""
    from docker.errors import ImageNotFound

    try:
        return client.images.get(name)
    except ImageNotFound:
        raise StackError(
            f"There is no image {name} on this machine. Ours: make images. Others: docker pull {name}."
        ) from None


def _why_silent(message: str) -> str:
    if "Permission" in message:
        return "This user may not ask the container engine: add them to the group docker, and log in anew."
    return "The container engine does not answer. Start it, such as with: systemctl start docker"
