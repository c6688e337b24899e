"""From the positions and directions of MRD acquisitions to a grid.

The file's vectors are in patient coordinates (LPS, mm). An acquisition's position is where the phase of the
encoding is zero: it becomes voxel n // 2 of the grid along each encoded axis, since that is the origin of the
Fourier transform, and not the point half a voxel away where the field of view has its middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsr.errors import GeometryError
from medsr.io.mrd_header import Encoding
from medsr.io.mrd_source import Heads
from medsr.volume import Grid


@dataclass(frozen=True)
class Placing:
    """matrix : (3, 3) columns in RAS mm for unit steps; first, step : position (RAS) of and between slices."""

    matrix: NDArray[np.float64]
    first: NDArray[np.float64]
    step: NDArray[np.float64]

    def grid(self, encoding: Encoding, slices: int, stride: int) -> Grid:
        n = encoding.recon_matrix
        slab = encoding.matrix[2] > 1
        affine = np.eye(4)
        affine[:3, :3] = self.matrix
        if not slab:
            affine[:3, 2] = self.step * (stride if slices > 1 else 1)
        shape = (n[0], n[1], n[2] if slab else slices)
        origin = np.array([n[0] // 2, n[1] // 2, n[2] // 2 if slab else 0])
        affine[:3, 3] = self.first - affine[:3, :3] @ origin
        return Grid(shape, affine)


def slice_geometry(
    heads: Heads, encoding: Encoding, slab: bool, path: Path, notes: list[str]
) -> tuple[Placing, NDArray[np.int64], float]:
    """Axes, the order of the slices along their normal, and the slice thickness in mm."""
    voxel = np.array(encoding.recon_fov) / encoding.recon_matrix
    thickness = float(voxel[2] if slab else encoding.recon_fov[2] / encoding.recon_matrix[2])
    vectors = {n: heads[n].astype(np.float64) for n in ("read_dir", "phase_dir", "slice_dir", "position")}
    if not all(np.isfinite(v).all() for v in vectors.values()):
        raise GeometryError(f"{path}: positions or directions are not finite", hint="mend the file first")
    for name in ("read_dir", "phase_dir", "slice_dir"):
        if np.abs(vectors[name] - vectors[name][0]).max() > 1e-3:
            raise GeometryError(f"{path}: the slices are not parallel", got=f"several values of {name}")
    read, phase, normal = (vectors[n][0] for n in ("read_dir", "phase_dir", "slice_dir"))
    if not np.any([read, phase, normal]):
        read, phase, normal = np.eye(3)
        notes.append("the file gives no directions: read, phase and slice were taken as L, P and S")
    elif not np.any(normal):
        normal = np.cross(read, phase)
        notes.append("the file gives no slice direction: taken as read x phase")
    axes = np.stack([read, phase, normal], axis=1)
    lengths = np.linalg.norm(axes, axis=0)
    if np.abs(lengths - 1).max() > 1e-2:
        raise GeometryError(
            f"{path}: a direction is not a unit vector", got=f"lengths {lengths.round(4).tolist()}"
        )
    axes /= lengths
    along = vectors["position"] @ axes[:, 2]
    order = np.argsort(along, kind="stable")
    positions = vectors["position"][order]
    step = axes[:, 2] * thickness
    if len(order) > 1:
        if slab:
            raise GeometryError(f"{path}: several slabs", got=len(order), rule="one slab a file")
        gaps = np.diff(along[order])
        mean = float(gaps.mean())
        if not positions.any() or mean < 1e-3:
            raise GeometryError(
                f"{path}: the slices lie at one position",
                got=f"{len(order)} slices",
                hint="the file lacks slice positions",
            )
        off = positions - positions[0] - np.outer(np.arange(len(order)) * mean, axes[:, 2])
        if np.abs(off).max() > max(0.02, 0.01 * mean):
            raise GeometryError(
                f"{path}: the slices are not evenly spaced along their normal",
                got=f"off by up to {np.abs(off).max():.3g} mm",
                rule="1 % of the spacing",
            )
        step = (positions[-1] - positions[0]) / (len(order) - 1)
    flip = np.array([-1.0, -1.0, 1.0])
    matrix = flip[:, None] * axes * voxel
    return Placing(matrix, flip * positions[0], flip * step), order, thickness
