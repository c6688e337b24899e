"""The noise level of a magnitude scan, from the scan itself."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK = 4
QUANTILE = 10
FLAT_BIAS = 0.76
"""What the 10th percentile of block estimates is of the truth in pure noise (4 x 4 x 4 second differences)."""


class NoiseEstimate(NamedTuple):
    """sigma : in the image's units. source : what it was read from."""

    sigma: float
    source: str


def estimate_noise(data: NDArray[np.float32]) -> NoiseEstimate:
    """Standard deviation of the noise of `data` (x, y, z), a magnitude image.

    Two readings, each of which structure can only raise, and the smaller counts:

    - in the tissue: the mean square of the second differences along all axes (normalised to unit noise gain)
      in blocks of 4 x 4 x 4, at their 10th percentile, where the tissue is flattest;
    - in the air, where it was not set to zero: ``sqrt(mean(y²) / 2)``, the Rayleigh law.

    The choice of blocks and percentile is ours; second differences for noise: Immerkær, Comput Vis Image
    Underst 64:300 (1996), doi 10.1006/cviu.1996.0060; the air: Henkelman, Med Phys 12:232 (1985),
    doi 10.1118/1.595711.

    Axes with fewer than 3 samples are not differenced. Returns zero where neither reading is possible.
    """
    from scipy import ndimage

    peak = float(np.percentile(data, 99.5))
    bright = data > 0.1 * peak
    readings = []

    detail = data.astype(np.float32)
    axes = [a for a in range(3) if data.shape[a] >= 3]
    for axis in axes:
        detail = ndimage.correlate1d(detail, np.array([1.0, -2.0, 1.0]) / np.sqrt(6), axis=axis, mode="nearest")
    inside = ndimage.binary_erosion(bright, _cross(axes), iterations=2)
    blocks, filled = _block_means(np.square(detail), inside)
    tissue = np.sqrt(blocks[filled])
    if len(tissue) >= 30:
        readings.append(NoiseEstimate(float(np.percentile(tissue, QUANTILE)) / FLAT_BIAS, "tissue"))

    air = data[~ndimage.binary_dilation(bright, _cross(axes), iterations=3)]
    if air.size >= 1000 and np.count_nonzero(air) > 0.5 * air.size:
        readings.append(NoiseEstimate(float(np.sqrt(np.mean(np.square(air, dtype=np.float64)) / 2)), "air"))

    return min(readings, default=NoiseEstimate(0.0, "too few voxels to tell"))


def _cross(axes: list[int]) -> NDArray[np.bool_]:
    """Structuring element that reaches one voxel along each of `axes`."""
    cross = np.zeros((3, 3, 3), dtype=bool)
    cross[1, 1, 1] = True
    for axis in axes:
        for end in (0, 2):
            index = [1, 1, 1]
            index[axis] = end
            cross[tuple(index)] = True
    return cross


def _block_means(
    square: NDArray[np.float32], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Means over blocks of BLOCK³ voxels, flatter and wider where an axis is short; which lie wholly `inside`."""
    size = [min(BLOCK, n) for n in square.shape]
    while math.prod(size) < BLOCK**3 and any(2 * b <= n for b, n in zip(size, square.shape, strict=True)):
        size = [2 * b if 2 * b <= n else b for b, n in zip(size, square.shape, strict=True)]
    counts = [n // b for n, b in zip(square.shape, size, strict=True)]
    cut = tuple(slice(0, c * b) for c, b in zip(counts, size, strict=True))
    split = (counts[0], size[0], counts[1], size[1], counts[2], size[2])
    means = np.asarray(square[cut].reshape(split).mean(axis=(1, 3, 5)))
    return means, np.asarray(inside[cut].reshape(split).all(axis=(1, 3, 5)))
