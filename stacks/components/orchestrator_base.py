"""What our orchestrators share: steps run on an image that is there, with our code in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stacks.container_engine import container_engine, find_image
from stacks.placeholders import of_here

if TYPE_CHECKING:
    from zenml.stack import StackValidator

DATA_REMOTE = "ACCIDENTS_DVC_REMOTE"  # in the environment of a step, and of who starts it


class OwnImage:
    """A mixin: the settings have `image` and `data_remote`; nothing is built or pushed."""

    config: Any
    keeps_here = True  # a pipeline that steers what serves on this machine runs on it

    @property
    def validator(self) -> StackValidator | None:
        """Neither an image builder nor a container registry is needed."""
        return None

    @property
    def image(self) -> str:
        """The image of this machine's version of the project."""
        return of_here(self.config.image)

    @property
    def data_remote(self) -> str:
        """The address of the DVC remote by which raw files reach the steps."""
        return os.environ.get(DATA_REMOTE) or of_here(self.config.data_remote)

    def image_facts(self) -> tuple[str, Mapping[str, str]]:
        """Return the image's digest and labels. Raises StackError if it, or the engine, is not there."""
        with container_engine() as engine:
            image = find_image(engine, self.image)
            return str(image.id), dict(image.labels)
