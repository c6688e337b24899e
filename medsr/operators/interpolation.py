"""Interpolation between grids that share their centre, as one small matrix an axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def interpolation_matrix(
    order: int, n: int, h: float, m: int, d: float, offset: float = 0.0
) -> NDArray[np.float64]:
    """(n, m) matrix from `m` samples `d` mm apart to `n` voxels of `h` mm, centres of both rows shared.

    Centre-aligned: sample i lies at ``(i - (m - 1) / 2) d + offset`` mm. Beyond the outer samples the image is
    mirrored about them. B-splines of order 1 (linear) or 3 (cubic, with the prefilter that makes it
    interpolate: Unser, IEEE Signal Process Mag 16:22 (1999), doi 10.1109/79.799930).
    """
    from scipy.ndimage import map_coordinates, spline_filter1d

    if m == 1:
        return np.ones((n, 1))
    position = ((np.arange(n) - (n - 1) / 2) * h - offset) / d + (m - 1) / 2
    basis = spline_filter1d(np.eye(m), order=order, axis=0, mode="mirror") if order > 1 else np.eye(m)
    columns = [
        map_coordinates(basis[:, j], position[None], order=order, prefilter=False, mode="mirror") for j in range(m)
    ]
    return np.stack(columns, axis=1)
