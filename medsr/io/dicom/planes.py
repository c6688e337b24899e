"""Where the slices of a grid lie, in DICOM's words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsr.volume import Grid

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Planes:
    """Slices across the third axis of a grid, in the order in which they are written.

    orientation : direction cosines (LPS) along a row, then along a column.
    spacing : distance between rows, then between columns, in mm.
    across : distance between slices, in mm.
    shape : rows and columns of a slice.
    positions : (n, 3) centre of each slice's first voxel, LPS mm.
    locations : (n,) places along the slice normal, in mm.
    """

    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    across: float
    shape: tuple[int, int]
    positions: NDArray[np.float64]
    locations: NDArray[np.float64]
    _flips: tuple[bool, bool, bool]

    def arranged(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        """(x, y, z) values as (slice, row, column) in the order of the planes."""
        for axis, flip in enumerate(self._flips):
            if flip:
                volume = np.flip(volume, axis)
        return volume.transpose(2, 1, 0)


def planes_of(grid: Grid) -> Planes:
    """The planes of a grid; axes are turned round where viewers would show them upside down, voxels stay where
    they are.

    Rows run towards the left or the back, columns towards the back or the feet, slices along the normal of the
    two.
    """
    affine = _RAS_TO_LPS @ grid.affine
    flips = [False, False, False]
    for axis, wanted in ((0, (1, 1, -1)), (1, (1, 1, -1))):
        main = int(np.abs(affine[:3, axis]).argmax())
        flips[axis] = bool(affine[main, axis] * wanted[main] < 0)
        affine = _flipped(affine, axis, grid.shape[axis]) if flips[axis] else affine
    flips[2] = bool(np.linalg.det(affine[:3, :3]) < 0)
    affine = _flipped(affine, 2, grid.shape[2]) if flips[2] else affine
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    row, column = affine[:3, 0] / lengths[0], affine[:3, 1] / lengths[1]
    positions = affine[:3, 3] + np.arange(grid.shape[2])[:, None] * affine[:3, 2]
    return Planes(
        orientation=tuple(float(v) for v in (*row, *column)),
        spacing=(float(lengths[1]), float(lengths[0])),
        across=float(lengths[2]),
        shape=(grid.shape[1], grid.shape[0]),
        positions=positions,
        locations=positions @ np.cross(row, column),
        _flips=(flips[0], flips[1], flips[2]),
    )


def _flipped(affine: NDArray[np.float64], axis: int, size: int) -> NDArray[np.float64]:
    turned = affine.copy()
    turned[:3, 3] += (size - 1) * affine[:3, axis]
    turned[:3, axis] *= -1
    return turned
