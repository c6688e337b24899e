"""The table of outcomes as one offline page."""

from __future__ import annotations

import html
from collections.abc import Sequence

from medsr.batch.outcomes import Row


def page(rows: Sequence[Row], *, running: bool) -> str:
    """The HTML of the rows."""
    lines = "".join(f"<tr><td>{html.escape(r.input)}<td>{r.status}<td>{html.escape(r.message)}" for r in rows)
    state = "still running" if running else "ended"
    return f"<!DOCTYPE html><meta charset=utf-8><title>medsr batch</title><p>{state}</p><table>{lines}</table>"
