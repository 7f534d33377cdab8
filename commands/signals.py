"""What ends a program from outside: Ctrl-C, `kill`, a terminal that is closed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from accidents.errors import AccidentsError

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EndedError(AccidentsError):
    """Somebody has ended the command."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number  # as a shell has it
        by = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        super().__init__(
            f"Ended by {by}. What was finished is kept, the rest is as it was before: run the same command "
            "again, and it goes on from there."
        )


class _Handler:
    """Unwinds the program at the first signal, so that what is half done is taken back; once is enough."""

    number: int | None = None  # of the signal that came
    is_usual_end = False  # of a program that runs until it is told to stop

    def forget(self) -> None:
        self.number, self.is_usual_end = None, False

    def __call__(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            return
        self.number = number
        for each in _ENDING:  # also where ZenML handles it while a step runs
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt


_handler = _Handler()


def heed_signals() -> None:
    """End at SIGINT and SIGTERM by KeyboardInterrupt, which is how this program is meant to end.

    Also if whoever started us ignores them: `nohup ... &` and a script's background jobs hand that down.
    """
    _handler.is_usual_end = True
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handler)


@contextmanager
def ended_plainly() -> Iterator[None]:
    """Raise EndedError if a signal ends what is done meanwhile, whatever that or a library makes of it.

    A signal that whoever started us ignores is ignored.
    """
    _handler.forget()
    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, usual in before.items():
        if usual is not signal.SIG_IGN:
            signal.signal(number, _handler)
    try:
        yield
    finally:
        ended = _handler.number
        for number, usual in before.items():
            signal.signal(number, usual if ended is None else signal.SIG_DFL)
        if ended is not None and not _handler.is_usual_end:
            raise EndedError(ended) from None
