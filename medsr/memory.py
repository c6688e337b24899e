"""Memory, planned before it is taken."""

from __future__ import annotations

import math

from medsr.errors import MemoryLimitError

FIXED = 500 * 2**20
"""The interpreter with torch and the image libraries loaded."""


def need(measured: tuple[int, ...], fine: tuple[int, ...], frames: int, copies: float) -> int:
    """Bytes at the peak of a reconstruction from `measured` to `fine` voxels, `frames` of them.

    copies : of one fine frame (float32) that the method holds at once, the result included (from its card).
    The scan and its residual, with a copy of each for the writer, and all frames of the result are kept.
    """
    scan = 4 * math.prod(measured) * (3 * frames + 4)
    result = 4 * math.prod(fine) * (copies + 1.0 + (frames - 1))
    return int(FIXED + scan + result)


def check(bytes_needed: int, limit: int | None, what: str) -> None:
    """Raises MemoryLimitError where the need is above the limit."""
    if limit is not None and bytes_needed > limit:
        raise MemoryLimitError(
            f"{what}: too large for --max-mem",
            got=f"about {_gib(bytes_needed)} needed, {_gib(limit)} allowed",
            hint="choose a coarser --spacing, or allow more",
        )


def _gib(n: int) -> str:
    return f"{n / 2**30:.2f} GiB"
