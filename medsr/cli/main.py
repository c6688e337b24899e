"""``medsr``: the commands, and what becomes of an error."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

from medsr._version import VERSION
from medsr.cli import evaluate_fmri
from medsr.cli.streams import flush, silence
from medsr.errors import MedsrError, UsageError

EXIT_CODES = """\
exit codes:
  0  done                            5  weights missing or wrong
  1  unexpected error                6  not enough memory, or more than --max-mem
  2  wrong usage                     7  written, but a promise of the method's card was missed
  3  input cannot be used            8  some of several inputs failed
  4  output exists, or cannot be     130  cancelled (143: by SIGTERM, 129: by SIGHUP)
     written
"""

EXAMPLES = """\
examples:
  medsr info scan.nii.gz                     what is read, and what would be done
  medsr reconstruct scan.nii.gz              the result comes beside the scan
  medsr COMMAND --help                       examples of each command

"""

AGAIN = 2.0
"""Seconds in which a second Ctrl-C is taken for the same one: cleaning up is not to be cleaned up after."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are medsr's; options are written out, so that scripts last."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)
        self.add_argument(
            "--debug",
            action="store_true",
            default=argparse.SUPPRESS,
            help="show where in the program an error comes from",
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see {self.prog} --help")


class Terminated(KeyboardInterrupt):
    """A signal that asks the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code.

    argv : without the program's name. By default this is the program: its signals, streams and warnings are set.
    """
    program = argv is None
    if argv is None:
        argv = sys.argv[1:]
        _be_a_program()
    try:
        return _run(list(argv))
    except BrokenPipeError:
        silence(sys.stdout)  # the reader of our output went away (`medsr models | head`)
        return 0
    finally:
        if program:
            _on_signals(signal.SIG_IGN)  # the exit code stands


def _run(argv: list[str]) -> int:
    debug = "--debug" in argv
    try:
        arguments = parser().parse_args(_joined(argv))
        arguments.argv, arguments.debug = argv, debug
        command: Callable[[argparse.Namespace], int] = arguments.command
        code = command(arguments)
        flush()
        return code
    except MedsrError as error:
        return _fail(str(error), error.exit_code, debug)
    except KeyboardInterrupt as end:
        number = end.number if isinstance(end, Terminated) else signal.SIGINT
        return _fail("cancelled; what was finished stays, nothing else", 128 + number, debug)
    except SystemExit as left:  # --help and --version
        flush()
        return int(left.code or 0)
    except BrokenPipeError:
        raise
    except MemoryError:
        return _fail("the memory was not enough; choose a coarser --spacing, or a larger machine", 6, debug)
    except Exception as error:
        what = f"unexpected {type(error).__name__}: {error}"
        return _fail(str(MedsrError(what, hint="run it again with --debug and report it")), 1, debug)


def _joined(argv: list[str]) -> list[str]:
    """Two words that are one command, as the parser knows it."""
    words = evaluate_fmri.NAME.split()
    return [evaluate_fmri.NAME, *argv[2:]] if argv[:2] == words else argv


def _fail(text: str, code: int, debug: bool) -> int:
    if debug and code not in (130, 143):
        traceback.print_exc()
    print(f"medsr: {'' if code > 128 else 'error: '}{text}", file=sys.stderr)
    return code


def parser() -> Parser:
    """The whole command line; imports nothing heavy."""
    from medsr.cli import batch, evaluate, info, models, reconstruct, report, simulate, train

    top = Parser(
        prog="medsr",
        description="Turns what an MR scanner gives (thick slices, a coarse volume) into the image that was\n"
        "wanted, and shows that the result still explains the measurement. For research use.",
        epilog=EXAMPLES + EXIT_CODES,
    )
    top.add_argument("--version", action="version", version=f"medsr {VERSION}", help="print the version")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    for module in (reconstruct, batch, models, info, report, evaluate, evaluate_fmri, simulate, train):
        module.add(commands)
    return top


def _be_a_program() -> None:
    """Streams that can be written whatever they are, no chatter of other packages, and an orderly end."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - for as long as we live
        else:
            stream.reconfigure(errors="backslashreplace")  # names and σ on terminals that know neither
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    last = -AGAIN

    def end(number: int, _frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before > AGAIN:
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)

    _on_signals(end)


def _on_signals(handler: Any) -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, handler)
