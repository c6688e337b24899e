"""Frames in groups: work space stays the same size, however long the run."""

from __future__ import annotations

from collections.abc import Iterator

AT_ONCE = 2**20
"""Numbers (complex samples of all coils) worked on at a time, unless a single frame has more."""


def groups(frames: int, numbers: int, least: int = 1) -> Iterator[slice]:
    """Runs of frames, in order, of which each has `numbers` numbers; `least` frames in each but the last."""
    count = max(1, least, AT_ONCE // max(1, numbers))
    for first in range(0, frames, count):
        yield slice(first, min(first + count, frames))
