"""What ends a program from outside: Ctrl-C, `kill`, a terminal that is closed."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

from accidents.errors import AccidentsError

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Interrupted inside of these, a connection may be left in its transaction: SQLite then refuses every other
# write, of which ZenML waits a minute for each (one in twenty interrupts of a write to its store).
_STORES = ("sqlalchemy.", "zenml.zen_stores.", "mlflow.store.")
_PATIENCE = 10.0  # seconds; a server that does not answer is not waited for


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
    _latest = 0.0  # when it ends wherever it is

    def forget(self) -> None:
        self.number, self.is_usual_end = None, False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            return
        self.number, self._latest = number, time.monotonic() + _PATIENCE
        for each in _ENDING:  # also where ZenML handles it while a step runs
            signal.signal(each, signal.SIG_IGN)
        self._end(signal.SIGALRM, frame)

    def heed_lost(
        self, usual: Callable[[sys.UnraisableHookArgs], object], lost: sys.UnraisableHookArgs
    ) -> None:
        """End a moment later if Python cannot raise it where it is: as a weak reference goes, say."""
        if self.number is not None and lost.exc_type is KeyboardInterrupt:
            self._end_later()
        else:
            usual(lost)

    def _end(self, _: int, frame: FrameType | None) -> None:
        if _is_in_store(frame) and time.monotonic() < self._latest:
            self._end_later()
        else:
            raise KeyboardInterrupt

    def _end_later(self) -> None:
        signal.signal(signal.SIGALRM, self._end)
        signal.setitimer(signal.ITIMER_REAL, 0.01)


def _is_in_store(frame: FrameType | None) -> bool:
    while frame:
        if str(frame.f_globals.get("__name__")).startswith(_STORES):
            return True
        frame = frame.f_back
    return False


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
    hook = sys.unraisablehook
    sys.unraisablehook = partial(_handler.heed_lost, hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        ended = _handler.number
        for number, usual in before.items():
            signal.signal(number, usual if ended is None else signal.SIG_DFL)
        if ended is not None and not _handler.is_usual_end:
            raise EndedError(ended) from None
