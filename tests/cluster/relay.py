"""Lets pods reach a port of loopback: `python relay.py ADDRESS PORT` listens there, and prints at which port.

A process of its own: beside a test that is busy it would keep pods waiting, whose API then has no database.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def relay(address: str, port: int) -> None:
    """Hand on every connection, until the process is ended."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            inside, to_inside = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(to_inside):
                await asyncio.gather(_pump(reader, to_inside), _pump(inside, writer))

    server = await asyncio.start_server(handle, address, 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.write_eof()  # the other direction goes on until it ends, too


if __name__ == "__main__":
    asyncio.run(relay(sys.argv[1], int(sys.argv[2])))
