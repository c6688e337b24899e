"""The object of a simulated scan: thin planes of a real image on a grid finer than the reconstruction's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from medsr.errors import InputError
from medsr.volume import Grid, Volume

_CONTRAST = np.array([0.0, 0.10, 0.30, 0.60, 0.90, 1.10, 1.40])
"""T1-weighted intensity over that of bright white matter: air, fluid, fluid and grey, grey, white, fat twice."""
_DENSITY = np.array([0.0, 0.90, 1.00, 0.86, 0.72, 0.60, 0.20])
"""Of what is left at excitation; fat is suppressed."""
_T2STAR_MS = np.array([20.0, 60.0, 90.0, 52.0, 45.0, 40.0, 40.0])
SUBPLANES = (-0.375, -0.125, 0.125, 0.375)
"""Of the slice thickness: where the slice is sampled to average across it."""
THROUGH_PLANE = 1.0
"""Distance in mm of the neighbouring planes from which movement along the slice axis is interpolated."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Where the slices lie.

    grid : of the reconstruction; its voxel (n // 2, n // 2, s) is the centre of slice s.
    size : points along each side of the fine grid, over the same field of view.
    thickness : of a slice, mm.
    """

    grid: Grid
    size: int
    thickness: float

    def points(self, index: int) -> NDArray[np.float64]:
        """World coordinates (size, size, 3) of the fine points of slice `index`, in mm."""
        n = self.grid.shape[0]
        step = np.arange(self.size) - self.size // 2
        centre = self.grid.to_world([n // 2, self.grid.shape[1] // 2, index])
        columns = self.grid.affine[:3, :2] * (n / self.size)
        return centre + step[:, None, None] * columns[:, 0] + step[None, :, None] * columns[:, 1]


def plan(
    volume: Volume,
    matrix: int,
    fov: float,
    slices: int,
    thickness: float,
    spacing: float,
    offset: float,
    oversampling: float,
) -> Plan:
    """Slices across the image axis nearest to head-foot, centred on the object; lengths in mm.

    offset : of the middle of the stack from the object's middle, along the slice axis.

    Raises
    ------
    InputError
        if the image is empty.
    """
    direction = volume.grid.direction
    across = int(np.argmax(np.abs(direction[2])))
    order = [a for a in range(3) if a != across] + [across]
    axes = direction[:, order]
    data = _still(volume)
    inside = np.argwhere(data > 0.15 * _bright(data))
    if len(inside) < 100:
        raise InputError(f"{volume.source or 'the image'}: nothing to image", hint="choose an image of a head")
    middle = volume.grid.to_world((inside.min(axis=0) + inside.max(axis=0)) / 2)
    first = middle + axes[:, 2] * (offset - spacing * (slices - 1) / 2)
    affine = np.eye(4)
    affine[:3, :3] = axes * [fov / matrix, fov / matrix, spacing]
    affine[:3, 3] = first - affine[:3, :2] @ [matrix // 2, matrix // 2]
    size = 2 * math.ceil(oversampling * matrix / 2)
    return Plan(Grid((matrix, matrix, slices), affine), size, thickness)


@dataclass(frozen=True, eq=False)
class Plane:
    """One slice of the object on the fine grid, all (size, size).

    signal : magnitude at the echo time of the planes 1 mm below, in place, 1 mm above: (3, size, size).
    decay : 1/T2* in 1/s.
    tissue : 0 in air to 1 in tissue.
    fluid : 0 to 1, how like cerebrospinal fluid.
    """

    signal: NDArray[np.float32]
    decay: NDArray[np.float64]
    tissue: NDArray[np.float32]
    fluid: NDArray[np.float32]


class Head:
    """Tissue properties made up from the intensities of an image.

    A T1-weighted image becomes proton density and T2* by a curve (fluid bright with a long T2*, white matter
    darker): plausible, not measured. Ours.

    Parameters
    ----------
    volume : the image; the mean over time of a series.
    te : echo time in s.
    contrast : "t1w" for that curve; "as-is" takes the intensities as the signal at the echo time.
    variation : relative spread of the curve's nodes, drawn from rng, so that heads differ in contrast.
    """

    def __init__(
        self, volume: Volume, te: float, contrast: str, variation: float, rng: np.random.Generator
    ) -> None:
        self._data = _still(volume)
        self._bright = _bright(self._data)
        self._inverse = np.linalg.inv(volume.grid.affine)
        self.te, self.contrast = te, contrast
        nodes = len(_CONTRAST)
        self._density = _DENSITY * (1 + variation * rng.standard_normal(nodes)).clip(0.5, 1.5)
        self._t2star = _T2STAR_MS * (1 + variation * rng.standard_normal(nodes)).clip(0.5, 1.5)

    def plane(self, where: Plan, index: int) -> Plane:
        """Slice `index` of a plan, averaged across its thickness."""
        points = where.points(index)
        normal = where.grid.direction[:, 2]
        signal, decay, tissue, fluid = [], [], [], []
        for shift in (-THROUGH_PLANE, 0.0, THROUGH_PLANE):
            parts = []
            for sub in SUBPLANES:
                x = self.intensity(points + normal * (shift + sub * where.thickness))
                air = np.clip((x - 0.06) / 0.06, 0, 1)
                parts.append(self._signal(x) * air)
                if shift == 0:
                    decay.append(1e3 / np.interp(x, _CONTRAST, self._t2star))
                    tissue.append(air)
                    fluid.append(air * np.clip((0.45 - x) / 0.2, 0, 1))
            signal.append(np.mean(parts, axis=0))
        return Plane(
            np.stack(signal).astype(np.float32),
            np.mean(decay, axis=0),
            np.mean(tissue, axis=0).astype(np.float32),
            np.mean(fluid, axis=0).astype(np.float32),
        )

    def intensity(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The image at world points (..., 3), over bright white matter; 0 outside."""
        index = points @ self._inverse[:3, :3].T + self._inverse[:3, 3]
        return map_coordinates(self._data, np.moveaxis(index, -1, 0), order=1, mode="constant") / self._bright

    def _signal(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.contrast == "as-is":
            return x
        t2star = np.interp(x, _CONTRAST, self._t2star) / 1e3
        return np.interp(x, _CONTRAST, self._density) * np.exp(-self.te / t2star) / math.exp(-self.te / 0.05)


def _still(volume: Volume) -> NDArray[np.float32]:
    data = volume.data if volume.data.ndim == 3 else volume.data.mean(axis=0)
    return np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0).clip(0)


def _bright(data: NDArray[np.float32]) -> float:
    """Intensity of bright white matter: the 97th percentile of the middle of the head, away from the scalp."""
    top = float(np.percentile(data, 99.9)) or float(data.max())
    if top <= 0:
        return 1.0
    inside = np.argwhere(data > 0.1 * top)
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    quarter = (high - low) // 4
    middle = data[tuple(slice(a + q, b - q) for a, b, q in zip(low, high, quarter, strict=True))]
    middle = middle[middle > 0.1 * top]
    return float(np.percentile(middle, 97)) if middle.size else top
