"""A log on a disk that is too small: files may grow to LIMIT bytes, later to any size.

Run as `python -m tests.serving.small_disk ADDRESS`. Prints ids that were confirmed before, how the first
failure was told, and ids that were confirmed after the disk had room again, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

from accidents.predictions.prediction_log import PredictionLog
from serving.api.predicting.log_writer import LogUnavailable, LogWriter
from tests.predictions import prediction

LIMIT = 300_000


async def run(address: str) -> None:
    writer = LogWriter(PredictionLog(address))
    await writer.start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
    before: list[str] = []
    begun = time.perf_counter()
    try:
        while True:
            begun = time.perf_counter()
            one = prediction()
            await writer.add(one)
            before.append(one.request_id)
    except LogUnavailable as error:
        told, seconds = str(error), time.perf_counter() - begun
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    after = [prediction() for _ in range(100)]
    await asyncio.gather(*(writer.add(one) for one in after))
    await writer.stop()
    ids = [one.request_id for one in after]
    print(json.dumps({"before": before, "told": told, "seconds": seconds, "after": ids}))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
