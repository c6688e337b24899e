"""In which units an MRD file stores its trajectory: the format leaves them open.

Detection goes by the largest position: a scan samples k-space out to about half its matrix, whatever the unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from medsr.errors import InputError

UNITS = ("cycles/FOV", "cycles/voxel", "rad/voxel", "-1..1", "1/m", "rad/m")

_TOLERANCE = 1.3
"""The largest position may be this many times more or less than half the matrix."""


def per_metre(unit: str, matrix: int, fov: float) -> float:
    """Factor from `unit` to cycles per metre, along an axis of `matrix` voxels over `fov` metres."""
    return {
        "cycles/FOV": 1 / fov,
        "cycles/voxel": matrix / fov,
        "rad/voxel": matrix / fov / (2 * math.pi),
        "-1..1": matrix / fov / 2,
        "1/m": 1.0,
        "rad/m": 1 / (2 * math.pi),
    }[unit]


def detect(largest: Sequence[float], matrix: Sequence[int], fov: Sequence[float]) -> str:
    """The unit in which `largest`, the greatest ``|k|`` along each in-plane axis, reaches half the matrix.

    largest : one an axis.
    matrix : voxels of the encoded space along each of these axes.
    fov : of the encoded space, in m.

    Raises
    ------
    InputError
        if none fits.
    """
    best, gap = "", math.inf
    for unit in UNITS:
        share = max(
            k * per_metre(unit, n, f) * 2 * f / n for k, n, f in zip(largest, matrix, fov, strict=True)
        )  # of the edge of k-space
        if share > 0 and abs(math.log(share)) < gap:
            best, gap = unit, abs(math.log(share))
    if gap > math.log(_TOLERANCE):
        raise InputError(
            "the units of the stored trajectory are not clear",
            got=f"positions up to {max(largest):.4g} for a matrix of {max(matrix)}",
            rule=f"one of {', '.join(UNITS)}",
            hint="state the trajectory units",
        )
    return best
