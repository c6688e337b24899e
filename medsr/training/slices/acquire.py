"""What a scan of a training patch is: the acquisition along the two axes of an image."""

from __future__ import annotations

from functools import cached_property, lru_cache

import torch
from torch import Tensor

from medsr.consistency.projection import Projection
from medsr.networks.layers import Scale
from medsr.operators.interpolation import interpolation_matrix
from medsr.operators.modeproduct import mode_product
from medsr.operators.pointspread import Kind, PointSpread
from medsr.operators.resolution import Resolution


class PlaneAcquisition:
    """``y = A x`` of images (B, slices, H, W), one point spread an axis that a scale refines.

    Lengths are in pixels of the fine image, so that a sample of the scan is `scale` of them wide.

    Parameters
    ----------
    fine : H and W, multiples of `scale`.
    kind, factor : of the point spread, and its width over the distance between samples.
    """

    def __init__(self, fine: Scale, scale: Scale, kind: Kind, factor: float) -> None:
        self.fine, self.scale = fine, scale
        self.coarse = fine[0] // scale[0], fine[1] // scale[1]
        psf = [None if s == 1 else PointSpread(kind, factor * s) for s in scale]
        self.operator = Resolution(
            (1, *fine), (1.0, 1.0, 1.0), (1, *self.coarse), (1.0, float(scale[0]), float(scale[1])), (None, *psf)
        )
        self.projection = Projection(self.operator)

    @cached_property
    def _up(self) -> list[Tensor | None]:
        up: list[Tensor | None] = [None]
        for n, m, s in zip(self.fine, self.coarse, self.scale, strict=True):
            up.append(None if s == 1 else torch.as_tensor(interpolation_matrix(3, n, 1.0, m, s)).float())
        return up

    def measure(self, x: Tensor) -> Tensor:
        """``A x``, slice by slice: (B, slices, H, W) to (B, slices, H / sh, W / sw)."""
        return mode_product(x, self.operator.factors(x))

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, 1, H, W) made to explain the scan (B, 1, H / sh, W / sw)."""
        return self.projection.project(x, y)

    def spline(self, y: Tensor) -> Tensor:
        """What the method `spline` makes of the scan (B, 1, ...): the image that a network has to beat."""
        return self.project(mode_product(y, [None if m is None else m.to(y.device) for m in self._up]), y)


@lru_cache(maxsize=64)
def plane_acquisition(fine: Scale, scale: Scale, kind: Kind, factor: float) -> PlaneAcquisition:
    """The acquisition, made once."""
    return PlaneAcquisition(fine, scale, kind, factor)
