"""What the API cannot do without: a request in, the model server asked, the answer out; no other work.

    python -m benchmarks.minimal_api PORT MODEL_SERVER FILE

POST /plain does that; POST /flushed writes a page to FILE and has it on the disk before it answers, as the
prediction log does. uvicorn, uvloop and the connection to the model server are those of the API.
"""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.api.predicting.connections import Connections

_PAGE = 4096  # bytes: the least that a commit of SQLite writes
_PAGES = 1000  # then from the start again, as SQLite's own -wal


class Pages:
    """Writes pages to a file; a thread of its own waits for the disk."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(self._file, bytes(_PAGE * _PAGES), 0)
        os.fsync(self._file)
        self._thread, self._alone, self._begun = ThreadPoolExecutor(1), asyncio.Lock(), 0

    async def flush(self) -> None:
        """Return once a page is on the disk that was written after the call; one for all who wait."""
        begun = self._begun
        async with self._alone:
            if self._begun == begun:
                self._begun += 1
                await asyncio.get_running_loop().run_in_executor(self._thread, self._write)

    def _write(self) -> None:
        os.pwrite(self._file, bytes(_PAGE), self._begun % _PAGES * _PAGE)
        os.fdatasync(self._file)


def relay(model_server: str, pages: Pages) -> ASGIApp:
    """Return the relay to a model's address (without /infer) as an ASGI application."""
    connections = Connections(model_server, timeout=10)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        status, content = await connections.ask("POST", "/infer", body)
        if scope["path"] == "/flushed":
            await pages.flush()
        length = [(b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": length})
        await send({"type": "http.response.body", "body": content})

    return answer


def main(port: str, model_server: str, file: str) -> None:
    """Serve until told to stop."""
    uvicorn.run(
        relay(model_server, Pages(Path(file))), port=int(port), loop="uvloop", http="httptools",
        lifespan="off", access_log=False, log_level="error",
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
