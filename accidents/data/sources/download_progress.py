"""What a person sees of a download: a bar a file on a terminal, a line a file elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from accidents.data.sources.retried_download import Listener


class DownloadProgress:
    """Shows downloads on standard error while it is open (`with DownloadProgress() as progress`)."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._bar: TaskID | None = None

    def __enter__(self) -> DownloadProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def listener(self, name: str) -> Listener:
        """Begin a bar for the file `name`; return what moves it."""
        bar = self._bar = self._bars.add_task(name, total=None)
        return Listener(
            bytes_so_far=lambda done, total: self._bars.update(bar, completed=done, total=total),
            retry=lambda reason: self._say(name, reason),
        )

    def line(self, name: str, what: str) -> None:
        """End the file's bar, if it has one, and say in a line what became of the file."""
        if self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None
        self._say(name, what)

    def _say(self, name: str, what: str) -> None:
        self._console.print(f"{name}: {what}", markup=False, highlight=False)
