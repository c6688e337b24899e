"""Geometry and the one image type.

Arrays are indexed ``(x, y, z)`` or ``(t, x, y, z)`` along the axes of the file; world coordinates are RAS+ in mm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medsr.errors import GeometryError

MAX_SHEAR_DEGREES = 0.5
"""Axes further than this from a right angle are sheared (a tilted gantry, an affine registration)."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a volume lie.

    Parameters
    ----------
    shape : voxels along the three axes of the file.
    affine : (4, 4) float64, from voxel indices to RAS+ mm, of the voxel's centre.

    Raises
    ------
    GeometryError
        if the affine is not finite, is singular, or its axes are not at right angles.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError("the grid has no voxels", got=shape, rule="a grid has three axes of 1 or more")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError("the affine is not a finite 4 x 4 matrix", hint="mend the header first")
        affine[3] = (0, 0, 0, 1)
        columns = affine[:3, :3]
        lengths = np.linalg.norm(columns, axis=0)
        if lengths.min() < 1e-6 or lengths.max() > 1e6:
            raise GeometryError(
                "the affine is singular or absurd",
                got=f"voxel sizes {_mm(lengths)} mm",
                rule="voxel sizes lie between 1e-6 and 1e6 mm",
                hint="mend the header first",
            )
        cosines = np.abs((columns / lengths).T @ (columns / lengths) - np.eye(3)).max()
        if cosines > math.sin(math.radians(MAX_SHEAR_DEGREES)):
            raise GeometryError(
                "the affine is sheared",
                got=f"axes {math.degrees(math.asin(min(1.0, cosines))):.2f} degrees off a right angle",
                rule=f"at most {MAX_SHEAR_DEGREES} degrees",
                hint="resample the scan to a grid with right angles first",
            )
        affine.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each axis, in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def direction(self) -> NDArray[np.float64]:
        """(3, 3) unit vectors of the axes, in columns."""
        return self.affine[:3, :3] / np.array(self.spacing)

    @property
    def field_of_view(self) -> tuple[float, float, float]:
        """Extent from outer voxel edge to outer voxel edge along each axis, in mm."""
        (a, b, c), (x, y, z) = self.shape, self.spacing
        return a * x, b * y, c * z

    @property
    def centre(self) -> NDArray[np.float64]:
        """World coordinates of the centre of the field of view."""
        return self.to_world((np.array(self.shape) - 1) / 2)

    def to_world(self, index: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """World coordinates, (..., 3) in mm, of voxel indices (..., 3)."""
        return np.asarray(index) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def corners(self) -> NDArray[np.float64]:
        """(8, 3) world coordinates of the centres of the corner voxels."""
        ends = [(0, n - 1) for n in self.shape]
        return self.to_world(np.array([(x, y, z) for x in ends[0] for y in ends[1] for z in ends[2]]))

    def resampled(self, spacing: Sequence[float]) -> Grid:
        """The grid of the same field of view at another spacing (mm).

        The axes and the centre of the field of view are shared, the spacing is exact, and the number of
        voxels is the field of view over the spacing, rounded; where that is whole, the outer edges are shared.
        """
        shape = [max(1, math.floor(f / s + 0.5)) for f, s in zip(self.field_of_view, spacing, strict=True)]
        linear = self.direction * np.asarray(spacing, dtype=np.float64)
        affine = np.eye(4)
        affine[:3, :3] = linear
        affine[:3, 3] = self.centre - linear @ ((np.array(shape) - 1) / 2)
        return Grid((shape[0], shape[1], shape[2]), affine)

    def cut(self, start: Sequence[int], shape: Sequence[int]) -> Grid:
        """The grid of `shape` voxels whose first is voxel `start` of this one; it may reach beyond it."""
        affine = np.array(self.affine)
        affine[:3, 3] = self.to_world(start)
        return Grid((shape[0], shape[1], shape[2]), affine)

    def is_close(self, other: Grid, tolerance: float = 1e-4) -> bool:
        """Whether every voxel lies within `tolerance` mm of its place in `other`."""
        return self.shape == other.shape and bool(np.abs(self.corners() - other.corners()).max() <= tolerance)

    def describe(self) -> str:
        """Shape and spacing in a few words."""
        return f"{' x '.join(map(str, self.shape))} voxels of {_mm(self.spacing)} mm"


@dataclass(frozen=True)
class ScanFacts:
    """What a header or a sidecar says of how a scan was made; None where it says nothing.

    slice_thickness : full width at half maximum of the slice profile, in mm.
    acquisition_type : "2D" (slices) or "3D" (a slab, encoded along all axes).
    slice_axis : the axis of the file across the slices.
    tr, te : repetition and echo time, in seconds.
    """

    slice_thickness: float | None = None
    acquisition_type: Literal["2D", "3D"] | None = None
    slice_axis: int | None = None
    tr: float | None = None
    te: float | None = None


@dataclass(frozen=True, eq=False)
class Volume:
    """An image on a grid: ``(x, y, z)``, or ``(t, x, y, z)`` for a series.

    data : real numbers; their values are those of the scan (scale and offset applied).
    facts : what the header says of the acquisition.
    notes : what a reader wants the user to know (warnings).
    source : the file it came from.
    xform_code : what the world coordinates are, as in NIfTI: 1 the scanner's, 2 aligned to another image or
        assumed, 3 Talairach, 4 MNI 152, 5 another template.
    """

    data: NDArray[np.float32]
    grid: Grid
    facts: ScanFacts = field(default_factory=ScanFacts)
    notes: tuple[str, ...] = ()
    source: str | None = None
    xform_code: int = 1

    def __post_init__(self) -> None:
        if self.data.ndim not in (3, 4) or tuple(self.data.shape[-3:]) != self.grid.shape:
            raise GeometryError(
                "the array does not fit its grid",
                got=f"{tuple(self.data.shape)} on {self.grid.shape}",
                rule="(x, y, z) or (t, x, y, z)",
            )

    @property
    def frames(self) -> int:
        """Number of time frames; 1 for a single volume."""
        return int(self.data.shape[0]) if self.data.ndim == 4 else 1

    def with_data(self, data: NDArray[np.float32], grid: Grid | None = None) -> Volume:
        """The same scan with other voxels, on `grid` where given."""
        return replace(self, data=data, grid=grid or self.grid)


def _mm(values: Sequence[float] | NDArray[np.float64]) -> str:
    return " x ".join(f"{v:.4g}" for v in values)
