"""Cuts through volumes, the right way round and the right size, for the planes that a radiologist expects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import GeometryError
from medsr.volume import MAX_SHEAR_DEGREES, Grid

LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))
"""The ends of the world's axes, positive end first (RAS+)."""

MAX_PIXELS = 512
"""Pixels along the longer side of a picture, at most."""


@dataclass(frozen=True)
class Plane:
    """A plane in the radiological convention.

    Every picture axis runs from the positive to the negative end of a world axis: the patient's right is on the
    left, anterior (axial) or superior (coronal, sagittal) is on top, and anterior is on the left of a sagittal.

    normal, across, down : world axes (0 right, 1 anterior, 2 superior), of the picture's normal, columns, rows.
    """

    name: str
    normal: int
    across: int
    down: int

    @property
    def edges(self) -> tuple[str, str, str, str]:
        """Letters at the left, right, top and bottom edge."""
        return *LETTERS[self.across], *LETTERS[self.down]


PLANES = (Plane("axial", 2, 0, 1), Plane("coronal", 1, 0, 2), Plane("sagittal", 0, 1, 2))


def nearest_axes(grid: Grid) -> NDArray[np.float64]:
    """(3, 3): in columns, unit vectors along `grid`'s axes, nearest to right, anterior and superior."""
    direction = grid.direction
    order = max(permutations(range(3)), key=lambda p: sum(abs(direction[w, p[w]]) for w in range(3)))
    axes = direction[:, order]
    nearest: NDArray[np.float64] = axes * np.where(np.diag(axes) < 0, -1.0, 1.0)
    return nearest


def orientation(grid: Grid) -> str:
    """Letters that the axes of the file point to, nearest ones: ``RAS``, ``LPS``, ..."""
    along = nearest_axes(grid).T @ grid.direction
    worlds = [int(np.argmax(np.abs(along[:, a]))) for a in range(3)]
    return "".join(LETTERS[w][int(along[w, a] < 0)] for a, w in enumerate(worlds))


def tilt(grid: Grid) -> float:
    """Greatest angle between an axis of `grid` and the world's axis nearest to it, in degrees."""
    cosines = np.clip(np.diag(nearest_axes(grid)), -1.0, 1.0)
    return float(np.degrees(np.arccos(cosines)).max())


@dataclass(frozen=True, eq=False)
class _Laid:
    """A grid as pictures run through it: axes in the order R, A, S, each from its positive to its negative end.

    file_axis, reverse : where each comes from. shape, spacing : along each. top : coordinate of voxel 0 (mm), in
        the basis of the grid's own axes, so that two grids with the same axes compare exactly, sheared or not.
    """

    file_axis: tuple[int, ...]
    reverse: tuple[bool, ...]
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    top: tuple[float, ...]

    @classmethod
    def of(cls, grid: Grid, axes: NDArray[np.float64]) -> _Laid:
        along = axes.T @ grid.direction
        order = tuple(int(np.argmax(np.abs(row))) for row in along)
        cosines = [abs(float(along[w, a])) for w, a in enumerate(order)]
        if sorted(order) != [0, 1, 2] or min(cosines) < math.cos(math.radians(2 * MAX_SHEAR_DEGREES)):
            raise GeometryError(
                "two images of one report lie at an angle to each other",
                rule="the scan, the result and their maps share their axes",
                hint="give the files that belong together",
            )
        reverse = tuple(bool(along[w, a] > 0) for w, a in enumerate(order))
        first = grid.to_world([grid.shape[a] - 1 if reverse[order.index(a)] else 0 for a in range(3)])
        return cls(
            order,
            reverse,
            tuple(grid.shape[a] for a in order),
            tuple(grid.spacing[a] for a in order),
            tuple(float(c) for c in np.linalg.solve(axes, first)),
        )

    def view(self, data: NDArray[Any]) -> NDArray[Any]:
        """`data` (x, y, z), turned; no copy."""
        flips = tuple(slice(None, None, -1) if r else slice(None) for r in self.reverse)
        return np.transpose(data, self.file_axis)[flips]

    def nearest(self, axis: int, coordinates: NDArray[np.float64]) -> NDArray[np.intp]:
        """Index of the voxel that holds each coordinate (mm); -1 outside."""
        index = np.floor((self.top[axis] - coordinates) / self.spacing[axis] + 0.5 + 1e-6).astype(np.intp)
        return np.where((index >= 0) & (index < self.shape[axis]), index, -1)


class Scene:
    """The pictures of one result: every volume is cut on the same square pixels, those of the result's grid.

    Volumes on the result's own grid are shown voxel by voxel (linearly interpolated where its voxels are not
    square, or more than a picture holds); any other grid is shown by its nearest voxels, as it is.

    Parameters
    ----------
    grid : the grid of the result.
    most : pixels along the longer side of a picture, at most.
    """

    def __init__(self, grid: Grid, most: int = MAX_PIXELS) -> None:
        self.grid = grid
        self._most = most
        self._axes = nearest_axes(grid)
        self._laid = _Laid.of(grid, self._axes)

    def count(self, plane: Plane) -> int:
        """Number of slices of the result's grid in `plane`, from its positive end on."""
        return self._laid.shape[plane.normal]

    def extent(self, plane: Plane) -> tuple[float, float]:
        """Width and height in mm."""
        laid = self._laid
        return (
            laid.shape[plane.across] * laid.spacing[plane.across],
            laid.shape[plane.down] * laid.spacing[plane.down],
        )

    def pixels(self, plane: Plane) -> tuple[int, int]:
        """Columns and rows of a picture."""
        extent = self.extent(plane)
        size = max(min(self._laid.spacing[plane.across], self._laid.spacing[plane.down]), max(extent) / self._most)
        return max(1, round(extent[0] / size)), max(1, round(extent[1] / size))

    def place(self, plane: Plane, index: int) -> float:
        """World coordinate (mm, along the plane's nearest world axis) of the centre of slice `index`."""
        laid = self._laid
        centre = (np.array(self.grid.shape) - 1) / 2
        last = laid.shape[plane.normal] - 1
        centre[laid.file_axis[plane.normal]] = last - index if laid.reverse[plane.normal] else index
        return float(self.grid.to_world(centre)[plane.normal])

    def content(self, data: NDArray[Any], above: float) -> dict[str, tuple[int, int]]:
        """First and last slice of each plane with anything in it: a hundredth of its voxels above `above`."""
        step = max(1, round((data.size / 2e6) ** (1 / 3)))
        seen = self._laid.view(data)[::step, ::step, ::step] > above
        found = {}
        for plane in PLANES:
            filled = np.flatnonzero(seen.mean(axis=(plane.across, plane.down)) > 0.01) * step
            last = self.count(plane) - 1
            found[plane.name] = (int(filled[0]), min(last, int(filled[-1]))) if len(filled) else (0, last)
        return found

    def cut(self, data: NDArray[Any], grid: Grid, plane: Plane, index: int) -> NDArray[np.float32]:
        """The picture (rows, columns) of `data` (x, y, z) on `grid` through slice `index` of the result's grid.

        Pixels outside `grid` are NaN.
        """
        columns, rows = self.pixels(plane)
        if grid is self.grid:
            flat = np.take(self._laid.view(data), index, axis=plane.normal).T.astype(np.float32)
            return flat if flat.shape == (rows, columns) else _resized(flat, columns, rows)
        laid = self._other(grid)
        here = self._laid.top[plane.normal] - index * self._laid.spacing[plane.normal]
        depth = int(laid.nearest(plane.normal, np.array([here]))[0])
        across = laid.nearest(plane.across, self._pixel_centres(plane.across, columns))
        down = laid.nearest(plane.down, self._pixel_centres(plane.down, rows))
        if depth < 0:
            return np.full((rows, columns), np.nan, dtype=np.float32)
        flat = np.take(laid.view(data), depth, axis=plane.normal).T
        picture = flat[np.ix_(down, across)].astype(np.float32)
        picture[down < 0] = np.nan
        picture[:, across < 0] = np.nan
        return picture

    def check(self, grid: Grid) -> None:
        """GeometryError where `grid` does not share the axes of the result's grid."""
        self._other(grid)

    def _other(self, grid: Grid) -> _Laid:
        return _Laid.of(grid, self._axes)

    def _pixel_centres(self, axis: int, count: int) -> NDArray[np.float64]:
        laid = self._laid
        edge = laid.top[axis] + laid.spacing[axis] / 2
        return edge - (np.arange(count, dtype=np.float64) + 0.5) * (laid.shape[axis] * laid.spacing[axis] / count)

    @cached_property
    def axes_of_file(self) -> tuple[str, str, str]:
        """What each axis of the file runs along, in words: ``left-right``, ..."""
        words = ("left-right", "posterior-anterior", "inferior-superior")
        back = {a: words[w] for w, a in enumerate(self._laid.file_axis)}
        return back[0], back[1], back[2]


def _resized(flat: NDArray[np.float32], columns: int, rows: int) -> NDArray[np.float32]:
    from PIL import Image

    # triangle weights, as wide as the coarser of the two pixels: linear upwards, no aliasing downwards
    image = Image.fromarray(np.ascontiguousarray(flat)).resize((columns, rows), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.float32)
