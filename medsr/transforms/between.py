"""A scan and the image it is of, remembered by a transform so that it can be undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsr.consistency.projection import Projection
from medsr.errors import GeometryError
from medsr.operators.interpolation import interpolation_matrix
from medsr.operators.modeproduct import mode_product
from medsr.operators.pointspread import PointSpread
from medsr.operators.resolution import Resolution
from medsr.volume import Grid

PARALLEL = 1e-3
"""Greatest difference of the directions of two grids whose axes are taken for the same."""


@dataclass(frozen=True, eq=False)
class Between:
    """``y = A x`` between an image on the grid `fine` and a scan on `measured`, whose axes are the same.

    Raises
    ------
    GeometryError
        where they are not, or an axis that keeps its samples does not keep their place.
    """

    fine: Grid
    measured: Grid
    psf: tuple[PointSpread | None, ...]

    def __post_init__(self) -> None:
        turned = np.abs(self.fine.direction - self.measured.direction).max()
        still = [p is None for p in self.psf]
        kept = [n == m for n, m in zip(self.fine.shape, self.measured.shape, strict=True)]
        moved = [abs(o) > PARALLEL * h for o, h in zip(self.offset, self.fine.spacing, strict=True)]
        if turned > PARALLEL or any(s and (not k or m) for s, k, m in zip(still, kept, moved, strict=True)):
            raise GeometryError(
                "the image and the scan do not lie on the same axes",
                got=f"{self.fine.describe()} and {self.measured.describe()}",
                rule="one is the other at another spacing along some of its axes",
            )

    @property
    def offset(self) -> tuple[float, ...]:
        """Where the centre of the scan lies, along the axes, mm from that of the image."""
        apart = self.fine.direction.T @ (self.measured.centre - self.fine.centre)
        return tuple(0.0 if abs(v) < 1e-6 else float(v) for v in apart)

    @property
    def operator(self) -> Resolution:
        """`A`."""
        fine, measured = self.fine, self.measured
        return Resolution(fine.shape, fine.spacing, measured.shape, measured.spacing, self.psf, self.offset)

    def measure(self, x: Tensor) -> Tensor:
        """``A x``, (..., x, y, z)."""
        return self.operator(x)

    def spline(self, y: Tensor) -> Tensor:
        """Cubic B-spline of the scan (..., x, y, z), then the projection onto the images that explain it."""
        fine, measured = self.fine, self.measured
        up = [
            None if p is None else torch.as_tensor(interpolation_matrix(3, n, h, m, d, o), dtype=y.dtype)
            for p, n, h, m, d, o in zip(
                self.psf, fine.shape, fine.spacing, measured.shape, measured.spacing, self.offset, strict=True
            )
        ]
        return Projection(self.operator).project(mode_product(y, up), y)

    def as_dict(self) -> dict[str, Any]:
        """Plain values that a data loader can put together."""
        return {
            "fine_shape": list(self.fine.shape),
            "fine_affine": _rows(self.fine.affine),
            "measured_shape": list(self.measured.shape),
            "measured_affine": _rows(self.measured.affine),
            "kinds": ["" if p is None else p.kind for p in self.psf],
            "widths": [0.0 if p is None else p.width for p in self.psf],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Between:
        """What `as_dict` made."""
        fine, measured = (
            Grid(tuple(int(n) for n in values[f"{name}_shape"]), np.array(values[f"{name}_affine"]))  # type: ignore[arg-type]
            for name in ("fine", "measured")
        )
        psf = tuple(
            PointSpread(k, float(w)) if k else None for k, w in zip(values["kinds"], values["widths"], strict=True)
        )
        return cls(fine, measured, psf)


def _rows(affine: NDArray[np.float64]) -> list[list[float]]:
    rows: list[list[float]] = affine.tolist()
    return rows
