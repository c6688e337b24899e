"""Facts as aligned rows: a name, and what is known under it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medsr.cli.streams import say


def show(facts: Mapping[str, Any]) -> None:
    """Prints `facts`, nested ones under the names of both; what is not known (None) is left out."""
    rows = list(_flat(facts))
    width = max((len(name) for name, _ in rows), default=0) + 2
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for name, value in rows:
        lines = textwrap.wrap(value, max(20, room - width)) if room else [value]
        for number, line in enumerate(lines or [""]):
            say(f"{'' if number else name:{width}}{line}".rstrip())


def _flat(facts: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        name = f"{within} {key}".strip().replace("_", " ")
        if value is None:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        elif _is_list(value) and any(isinstance(v, Mapping) or _is_list(v) for v in value):
            for number, entry in enumerate(value, 1):
                yield from _flat(entry if isinstance(entry, Mapping) else {str(number): entry}, name)
        elif _is_list(value) and value and all(isinstance(v, str) for v in value):
            for number, entry in enumerate(value):
                yield "" if number else name, entry
        elif _is_list(value):
            if value:
                yield name, ", ".join(map(_word, value))
        else:
            yield name, _word(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
