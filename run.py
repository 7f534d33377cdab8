#!/usr/bin/env python
"""The one command line: `python run.py --help`. What may be typed is in commands/arguments/."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress

import typer

# Nothing heavy up here: `--help` answers at once, and a command loads what it needs.
from accidents.errors import AccidentsError, BusyError
from commands.arguments.app import build
from commands.arguments.options import ROOT
from commands.not_due import NotDueError
from commands.signals import EndedError, ended_plainly
from stacks.errors import StackError


def cli(words: list[str], name: str = "run.py") -> int:
    """Run the command line.

    Parameters
    ----------
    name : how it was called, for usage and completion.

    Returns
    -------
    0 if it went well, 1 after an error told plainly, 2 if it was not understood, 75 if another loop runs,
    99 if a stage that was asked for is not due, 128 and its number if a signal has ended it.
    """
    # Until the stack is there: imports make a million objects that stay, and looking for garbage among them
    # is a sixth of the time that they take.
    gc.disable()
    from commands.temporary_folder import scratch

    try:
        with ended_plainly(), scratch():
            return int(build()(words, prog_name=name, standalone_mode=False) or 0)
    except EndedError as ended:
        _tell(str(ended))
        return ended.exit_code
    except KeyboardInterrupt:  # of a program that runs until it is told to stop
        return 0
    except NotDueError as error:
        print(error)
        return error.exit_code
    except (AccidentsError, StackError) as error:
        from commands.remedies import in_own_words

        _tell(in_own_words(error))
        return BusyError.exit_code if isinstance(error, BusyError) else 1
    except typer.TyperException as error:
        from commands.arguments.usage_errors import explain

        _tell(explain(error, words))
        return 2
    except typer.Abort:
        return 1
    except SystemExit as stop:
        return int(stop.code or 0)
    except Exception as error:
        _tell(_unforeseen(error))
        return 1


def _tell(text: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True).print(f"[red]Error:[/] {escape(text)}", highlight=False, soft_wrap=True)


def _unforeseen(error: Exception) -> str:
    """Return what a person needs of an error that is no fault of theirs.

    Where it came from goes into a file.
    """
    import traceback

    from commands.remedies import first_line, remedy

    lines = [f"{type(error).__name__}: {first_line(error)}", *filter(None, [remedy(error)])]
    file = ROOT / ".serving" / "error.log"
    with suppress(OSError):  # a full disk must not hide what is wrong
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        lines.append(f"Where it came from is in {file.relative_to(ROOT)}.")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(cli(sys.argv[1:] or ["--help"], sys.argv[0]))
