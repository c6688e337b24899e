"""The grid that the 3D network works on: whole multiples of the scan's, so that every sample is met alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medsr.operators.pointspread import PointSpread
from medsr.volume import Grid

UNREFINED = 2
"""Voxels of a cell along an axis that keeps its samples."""
SLACK = 0.25
"""A ratio may exceed its factor by this much: the rest is interpolated."""


@dataclass(frozen=True)
class Layout:
    """Which acquisitions a set of weights serves.

    orders : the most cosine orders that the network knows within a cell, an axis.
    factors : the greatest refinement of an axis; axes are turned so that the first one refined is last.
    """

    name: str
    orders: tuple[int, int, int]
    factors: tuple[int, int, int]


THROUGH = Layout("through-plane", (2, 2, 4), (1, 1, 4))
"""One refined axis."""
ISOTROPIC = Layout("isotropic", (3, 3, 3), (3, 3, 3))
"""Two or three."""
LAYOUTS = {layout.name: layout for layout in (THROUGH, ISOTROPIC)}


@dataclass(frozen=True)
class Cells:
    """The working grid of one acquisition; axes as in the scan.

    layout : what serves it. turn : axes of the scan in the order in which the network is given them.
    factor : voxels of the working grid a sample, 1 where the axis keeps its samples.
    """

    layout: Layout
    turn: tuple[int, int, int]
    factor: tuple[int, int, int]

    @property
    def cell(self) -> tuple[int, int, int]:
        """Voxels a cell, in the order of the scan's axes."""
        x, y, z = (f if f > 1 else UNREFINED for f in self.factor)
        return x, y, z

    def grid(self, measured: Grid) -> Grid:
        """The working grid: the field of view of `measured`, each sample cut into `factor` voxels."""
        if self.factor == (1, 1, 1):
            return measured
        return measured.resampled([d / f for d, f in zip(measured.spacing, self.factor, strict=True)])


def plan_cells(measured: Sequence[float], fine: Sequence[float], psf: Sequence[PointSpread | None]) -> Cells:
    """The working grid for a scan of `measured` spacing (mm) that is wanted at `fine` spacing (mm)."""
    refined = [a for a in range(3) if psf[a] is not None]
    layout = THROUGH if len(refined) == 1 else ISOTROPIC
    last = refined[0] if len(refined) == 1 else 2
    rest = [a for a in range(3) if a != last]
    turn = (rest[0], rest[1], last)
    factor = [1, 1, 1]
    for place, axis in enumerate(turn):
        if axis in refined:
            ratio = measured[axis] / fine[axis]
            factor[axis] = min(layout.factors[place], max(2, math.ceil(ratio - SLACK)))
    return Cells(layout, turn, (factor[0], factor[1], factor[2]))
