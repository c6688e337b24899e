"""The worker's log: a line an event, of Orthanc's hashed ids, numbers and medsr's own words.

Nothing that a server or a header says is ever written, so no line can name a patient.
"""

from __future__ import annotations

import sys
import time

from medsr.errors import one_line


def log(event: str, **facts: object) -> None:
    """One line on standard error: time in UTC, event, ``name=value``; control characters are escaped."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    words = [stamp, event] + [f"{name}={_shown(value)}" for name, value in facts.items() if value is not None]
    print(one_line(" ".join(words)), file=sys.stderr, flush=True)


def _shown(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f'"{text}"' if not text or any(c.isspace() or c == '"' for c in text) else text
