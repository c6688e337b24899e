"""Every error that medsr raises on purpose, each with its exit code.

A message says what went wrong, what was found, the rule that it breaks and what to do, in one line.
"""

from __future__ import annotations


class MedsrError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    what : what is wrong, and with which file or option.
    got : what was found there.
    rule : the rule it breaks.
    hint : what the user can do.
    """

    exit_code = 1

    def __init__(self, what: str, *, got: object = None, rule: str | None = None, hint: str | None = None) -> None:
        self.what, self.got, self.rule, self.hint = what, got, rule, hint
        parts = [what]
        if got is not None:
            parts.append(f"got {got}")
        if rule:
            parts.append(rule)
        if hint:
            parts.append(hint)
        super().__init__(one_line("; ".join(parts)))


class UsageError(MedsrError):
    """An option or argument is wrong."""

    exit_code = 2


class InputError(MedsrError):
    """An input cannot be used."""

    exit_code = 3


class GeometryError(InputError):
    """The geometry of an input is not one that medsr can keep true."""


class OutputError(MedsrError):
    """An output exists already or cannot be written."""

    exit_code = 4


class WeightsError(MedsrError):
    """The weights of a model are missing or not the ones on its card."""

    exit_code = 5


class MemoryLimitError(MedsrError):
    """The work does not fit in the memory that was allowed."""

    exit_code = 6


class PromiseMissedError(MedsrError):
    """The result was written, but a promise on the method's card was missed."""

    exit_code = 7


class SomeFailedError(MedsrError):
    """Some of several inputs failed."""

    exit_code = 8


class Cancelled(MedsrError):  # noqa: N818 - not an error of anybody's
    """The user stopped the run."""

    exit_code = 130


def one_line(text: str) -> str:
    """`text` on one line, control characters escaped, so that a file name cannot forge a log line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
