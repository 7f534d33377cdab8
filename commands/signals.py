"""What ends a program that runs until it is told to stop."""

from __future__ import annotations

import signal


def heed_signals() -> None:
    """End at SIGINT and SIGTERM as at Ctrl-C, also if whoever started us ignores them.

    `nohup ... &` and a script's background jobs hand that down.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
