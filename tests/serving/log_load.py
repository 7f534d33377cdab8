"""Eight callers write to a log as fast as it takes it; each id is printed once its write has returned.

Run as `python -m tests.serving.log_load ADDRESS`, to be killed.
"""

from __future__ import annotations

import asyncio
import os
import sys

from accidents.predictions.prediction_log import PredictionLog
from serving.api.predicting.log_writer import LogWriter
from tests.predictions import prediction


async def load(address: str) -> None:
    writer = LogWriter(PredictionLog(address))
    await writer.start()

    async def call() -> None:
        while True:
            one = prediction()
            await writer.add(one)
            os.write(1, f"{one.request_id}\n".encode())

    await asyncio.gather(*(call() for _ in range(8)))


if __name__ == "__main__":
    asyncio.run(load(sys.argv[1]))
