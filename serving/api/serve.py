"""Serve until told to stop: in one process, or as one of several."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI

from accidents.errors import AccidentsError, SettingsError
from accidents.predictions.store import PredictionStore
from serving.api.app import create_app
from serving.api.http.uvicorn_protocol import ApiProtocol
from serving.api.operations.keys import Keys
from serving.api.operations.keys_in_database import keys_for
from serving.api.processes import WORKER, end_with_parent, listening, serve_in
from serving.api.settings import ApiSettings, load_settings
from serving.http_limits import limited

_STOP_PATIENCE = 10  # seconds for requests on their way when told to stop
BACKLOG = 2048


def main(words: Sequence[str] = ()) -> int:
    """Serve; 1 where the settings, the keys or the log do not allow it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = load_settings()
        if words[:1] == (WORKER,):
            return _serve_as_one(settings, *map(int, words[1:]))
        _make_store(settings)
        if settings.processes > 1:
            return serve_in(settings.processes, listening(settings, BACKLOG))
        server = uvicorn.Server(config_of(settings, create_app(settings)))
    except AccidentsError as error:
        print(error, file=sys.stderr)
        return 1
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C, once all is closed
        server.run()
    return 0 if server.started else 1


def _serve_as_one(settings: ApiSettings, number: int, parent: int) -> int:
    """Serve as one of several processes, on their socket."""
    end_with_parent(parent)
    server = uvicorn.Server(config_of(settings, create_app(settings)))
    server.run([socket.socket(fileno=number)])
    return 0 if server.started else 1


def _make_store(settings: ApiSettings) -> None:
    """Make or upgrade it now, so that what hinders that is one plain line.

    Raises
    ------
    PredictionLogError
        It cannot be made, or is older and `upgrade_log` is false.
    SettingsError
        There is no key in it or in the file, and others can reach `host`; or keys were left in the file.
    """
    store = PredictionStore(settings.database_url)
    try:
        if settings.keys_in == "file":
            _require_key_or_loopback(settings, store)
        store.create(settings.upgrade_log)
        if settings.keys_in == "database":
            _require_none_left_in_file(settings, store)
            _require_key_or_loopback(settings, store)
    finally:
        store.close()


def _require_key_or_loopback(settings: ApiSettings, store: PredictionStore) -> None:
    if not settings.loopback and not keys_for(settings, store).any():
        place = settings.keys_file if settings.keys_in == "file" else store.place
        raise SettingsError(
            f"`host` is {settings.host}, which others can reach, and {place} holds no key. "
            "Make one with `python run.py keys new --name NAME`, or serve on 127.0.0.1."
        )


def _require_none_left_in_file(settings: ApiSettings, store: PredictionStore) -> None:
    """Refuse to serve without a key where one was asked for until `keys_in` was changed."""
    if not keys_for(settings, store).any() and Keys(settings.keys_file).any():
        raise SettingsError(
            f"`keys_in` is database, and {store.place} has never held a key, but {settings.keys_file} does: "
            "nobody would be asked for one. Take them over with `python run.py keys to-database`, or move "
            "that file away."
        )


def config_of(settings: ApiSettings, app: FastAPI) -> uvicorn.Config:
    """How uvicorn serves the app."""
    patience = settings.request_timeout + 5  # after the app's own 408
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=limited(ApiProtocol, patience=patience, header_limit=settings.header_limit),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=_STOP_PATIENCE,
        backlog=BACKLOG,
    )
