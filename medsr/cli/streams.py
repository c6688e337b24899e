"""Lines on stdout and stderr."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TextIO

from medsr.errors import MedsrError, OutputError, one_line


def say(line: str) -> None:
    """One line on stdout, as `write`."""
    write(one_line(line) + "\n")


def write(text: str) -> None:
    """Text on stdout, which is what the command is for.

    Raises
    ------
    OutputError
        if it cannot be written. A reader that went away is BrokenPipeError, and nobody's error.
    """
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritable(error) from None


def flush() -> None:
    """What was said, to where it goes. Raises as `write`."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritable(error) from None


def _unwritable(error: OSError) -> OutputError:
    silence(sys.stdout)
    return OutputError("standard output cannot be written", got=error.strerror)


def complain(error: MedsrError, debug: bool = False) -> None:
    """One line on stderr; where it comes from too, if asked."""
    if debug:
        tell("".join(traceback.format_exception(error)).rstrip(), sys.stderr)
    tell(f"medsr: error: {error}", sys.stderr)


def tell(text: str, stream: TextIO) -> None:
    """One line beside the work: a reader that went away, or a full disk, stops the telling, not the work."""
    try:
        print(text, file=stream, flush=True)
    except OSError:
        silence(stream)


def silence(stream: TextIO) -> None:
    """Lets what is still to be written to `stream` go nowhere."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - no path, a name of the system
        os.dup2(nowhere.fileno(), stream.fileno())
