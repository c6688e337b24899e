"""A head made of ellipsoids, on any grid: enough tissue to simulate from without data files."""

from __future__ import annotations

import numpy as np

from medsr.volume import Grid, Volume


def head(spacing=2.0, affine=None, shape=(84, 100, 80)) -> Volume:
    """T1w-like: scalp, fluid, grey and white matter, ventricles; world coordinates decide."""
    if affine is None:
        affine = np.diag([spacing, spacing, spacing, 1.0])
        affine[:3, 3] = -spacing * (np.array(shape) - 1) / 2
    grid = Grid(shape, affine)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(grid.to_world(index), -1, 0)

    def inside(a, b, c, dx=0.0, dy=0.0, dz=0.0):
        return ((x - dx) / a) ** 2 + ((y - dy) / b) ** 2 + ((z - dz) / c) ** 2 < 1

    data = np.zeros(shape, dtype=np.float32)
    for extent, value in (((78, 94, 76), 110), ((74, 90, 72), 20), ((70, 86, 68), 60), ((60, 76, 58), 95)):
        data[inside(*extent)] = value
    data[inside(10, 26, 14, -13, 4, 4) | inside(10, 26, 14, 13, 4, 4)] = 25
    data[inside(14, 14, 14, 30, -40, 0)] = 60
    data += (data > 0) * 3 * np.sin(x / 5) * np.cos(y / 7) * np.sin(z / 6)
    return Volume(data.astype(np.float32), grid)
