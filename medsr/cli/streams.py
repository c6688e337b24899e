"""Lines on stdout and stderr."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TextIO

from medsr.errors import MedsrError, one_line


def say(line: str) -> None:
    """One line on stdout."""
    tell(one_line(line), sys.stdout)


def complain(error: MedsrError, debug: bool = False) -> None:
    """One line on stderr; where it comes from too, if asked."""
    if debug:
        tell("".join(traceback.format_exception(error)).rstrip(), sys.stderr)
    tell(f"medsr: error: {error}", sys.stderr)


def tell(text: str, stream: TextIO) -> None:
    """Print and flush. A reader that went away, or a full disk, stops the telling, not the work."""
    try:
        print(text, file=stream, flush=True)
    except OSError:
        silence(stream)


def silence(stream: TextIO) -> None:
    """Lets what is still to be written to `stream` go nowhere."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - no path, a name of the system
        os.dup2(nowhere.fileno(), stream.fileno())
