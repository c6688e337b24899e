"""``medsr``: the commands, and what becomes of an error."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from medsr._version import VERSION
from medsr.errors import MedsrError, UsageError

EXIT_CODES = """\
exit codes:
  0  done                            5  weights missing or wrong
  1  unexpected error                6  not enough memory allowed
  2  wrong usage                     7  written, but a promise of the method's card was missed
  3  input cannot be used            8  some of several inputs failed
  4  output exists, or cannot be     130  cancelled
     written
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are medsr's."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    try:
        arguments = parser().parse_args([a for a in argv if a != "--debug"])
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except MedsrError as error:
        if debug:
            raise
        print(f"medsr: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("medsr: cancelled; nothing was left behind", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of our output went away (`medsr models | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        print("medsr: error: not enough memory; use --max-mem to plan, or a coarser --spacing", file=sys.stderr)
        return 6
    except Exception as error:
        if debug:
            raise
        text = f"medsr: unexpected {type(error).__name__}: {error}; run again with --debug and report it"
        print(" ".join(text.split()), file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """The whole command line; imports nothing heavy."""
    from medsr.cli import evaluate, info, models, reconstruct, report, simulate

    top = Parser(
        prog="medsr",
        description="Turns what an MR scanner gives (thick slices, a coarse volume) into the image that was "
        "wanted, and shows that the result still explains the measurement. For research use.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"medsr {VERSION}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    for module in (reconstruct, models, info, report, evaluate, simulate):
        module.add(commands)
    return top
