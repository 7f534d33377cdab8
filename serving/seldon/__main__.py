"""Seldon Core's Python server for one bundle, on loopback alone.

    python -m serving.seldon BUNDLE --digest D --name NAME --version V --port PORT

`seldon-core-microservice` listens on every interface, for REST, gRPC and metrics, and takes no other address.
This is its REST server, of its own parts: the same routes, the same gunicorn, one worker.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from seldon_core.gunicorn_utils import UserModelApplication
from seldon_core.wrapper import get_rest_microservice

from accidents.errors import AccidentsError
from serving.seldon.guard import MAX_BODY, Guard
from serving.seldon.model import BundleModel
from serving.seldon.options import read_options

HOST = "127.0.0.1"
_THREADS = 8  # connections that are read at once; predictions are made one after another
_TIMEOUT = 30  # seconds in which a worker must show that it lives; one whose parent is gone ends within half


class NoMetrics:
    """In place of the process in which Seldon keeps a model's own metrics: ours has none."""

    def update(self, custom_metrics: list[dict[str, Any]], method: str) -> None:
        """Keep nothing."""

    def update_reward(self, reward: float) -> None:
        """Keep nothing."""


def main() -> None:
    """Serve until SIGTERM; requests on their way are answered first."""
    options = read_options(sys.argv[1:])
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("seldon_core.wrapper").setLevel(logging.CRITICAL)  # it logs every wrong request
    try:
        model = BundleModel(options.bundle, options.digest, options.name, options.version)
    except AccidentsError as error:
        sys.exit(str(error))
    app = get_rest_microservice(model, NoMetrics())
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.wsgi_app = Guard(app.wsgi_app)
    settings = {
        "bind": f"{HOST}:{options.port}",
        "workers": 1,
        "threads": _THREADS,
        "timeout": _TIMEOUT,
        "graceful_timeout": options.grace,
        "keepalive": _TIMEOUT,
    }
    UserModelApplication(app, model, False, None, options.name, settings).run()


if __name__ == "__main__":
    main()
