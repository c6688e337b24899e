"""Cartesian lines among the readouts: how many fill k-space, and what each sample stands for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STRAIGHT = 1e-3
"""Cycles per field of view by which a line may leave its place along the other axes."""


def is_line(readout: NDArray[np.floating]) -> bool:
    """Whether a readout (samples, dims) runs along its first axis alone, by equal steps."""
    steps = np.diff(readout[:, 0])
    even = float(np.ptp(steps)) < STRAIGHT * max(1.0, float(np.abs(readout[:, 0]).max()))
    return even and float(np.abs(steps[0])) > 0 and bool((np.ptp(readout[:, 1:], axis=0) < STRAIGHT).all())


def lines_to_fill(readouts: NDArray[np.floating], lines: int) -> int:
    """How many lines fill a k-space of `lines`: as many, or more where they lie closer than one cycle.

    readouts : (readouts, samples, dims), cycles per field of view, of a whole run.
    """
    places = np.unique(np.round(readouts[:, 0, 1].astype(np.float64) / STRAIGHT)) * STRAIGHT
    spacing = float(np.diff(places).min()) if len(places) > 1 else 1.0
    return round(lines / min(1.0, spacing))


def line_density(readouts: NDArray[np.floating], lines: int, copies: int) -> NDArray[np.float32]:
    """Cells of k-space that each sample stands for, (..., samples), where `copies` lines share `lines` rows.

    readouts : (..., samples, dims).
    """
    step = np.abs(readouts[..., 1:2, 0] - readouts[..., :1, 0])
    return np.broadcast_to(step * (lines / copies), readouts.shape[:-1]).astype(np.float32)
