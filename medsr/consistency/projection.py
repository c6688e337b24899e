"""The image-domain data-consistency layer, in closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from medsr.operators.modeproduct import mode_product
from medsr.operators.resolution import Resolution

RIDGE = 1e-6
"""Of the largest squared singular value: what keeps modes that were hardly measured from being divided by zero."""

BISECTIONS = 24
"""Of the logarithm of μ over 18 decades: to 1e-6 of it."""

Factors = list[Tensor | None]


class Projection:
    """Projection of an estimate onto the images that explain a measurement ``y = A x``.

    With ``A = U S Vᵀ`` (one small decomposition an axis, see `Modes`),

        A⁺ y = V diag(s / (s² + λ)) Uᵀ y,        P x = x + A⁺ (y - A x).

    Linear in `x` and `y`, differentiable, batched over leading axes; float32 and float64. A noisy measurement
    is not to be explained to the last digit: filter it first (`medsr.consistency.wiener`).

    Parameters
    ----------
    operator : the acquisition.
    ridge : λ over the largest squared singular value.
    """

    def __init__(self, operator: Resolution, ridge: float = RIDGE) -> None:
        self.operator, self.ridge = operator, ridge
        self._cache: dict[tuple[torch.dtype, torch.device], tuple[Factors, Factors, Tensor]] = {}

    def _bases(self, like: Tensor) -> tuple[Factors, Factors, Tensor]:
        """``Uᵀ``, ``V`` and the filter, of the dtype and device of `like`."""
        key = like.dtype, like.device
        if key not in self._cache:
            modes = self.operator.modes
            ut, v = (
                [None if m is None else torch.as_tensor(m, dtype=like.dtype, device=like.device) for m in side]
                for side in ([None if m is None else m.T.copy() for m in modes.u], modes.v)
            )
            sx, sy, sz = (torch.as_tensor(s, dtype=torch.float64, device=like.device) for s in modes.s)
            s = sx[:, None, None] * sy[:, None] * sz
            inverse = s / (s**2 + self.ridge * s.max() ** 2)
            self._cache[key] = ut, v, inverse.to(like.dtype)
        return self._cache[key]

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        """``A⁺ y``; (..., measured shape) to (..., fine shape)."""
        return mode_product(*self.filtered_modes(y))

    def filtered_modes(self, y: Tensor) -> tuple[Tensor, Factors]:
        """``diag(s / (s² + λ)) Uᵀ y`` and the factors of `V`, for callers that build ``A⁺ y`` in parts."""
        ut, v, inverse = self._bases(y)
        return mode_product(y, ut) * inverse, v

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """``P x``: the estimate `x` (..., fine shape) made to explain `y` (..., measured shape)."""
        return x + self.pseudo_inverse(y - self.operator(x))

    def within(self, x: Tensor, y: Tensor, radius: float) -> Tensor:
        """The image nearest to `x` (fine shape) that explains `y` (measured shape) to within `radius`:

            minimise ‖z - x‖  subject to  ‖A z - y‖ ≤ radius,

        which is ``x + Aᵀ (A Aᵀ + μ)⁻¹ (y - A x)`` with μ found by bisection (the discrepancy principle: Morozov
        1966). `x` itself where it explains `y` already; the projection for a radius of zero.
        """
        residual = y - self.operator(x)
        if float(residual.double().norm()) <= radius:
            return x
        if radius <= 0:
            return x + self.pseudo_inverse(residual)
        ut, v, _ = self._bases(y)
        modes = mode_product(residual, ut)
        sx, sy, sz = (torch.as_tensor(s, dtype=y.dtype, device=y.device) for s in self.operator.modes.s)
        squared = (sx[:, None, None] * sy[:, None] * sz) ** 2
        low, high = math.log(float(squared.max()) * 1e-9), math.log(float(squared.max()) * 1e9)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            mu = math.exp(middle)
            if float((modes * (mu / (squared + mu))).double().norm()) > radius:
                high = middle
            else:
                low = middle
        return x + mode_product(modes * (squared.sqrt() / (squared + math.exp(low))), v)

    def null_space(self, x: Tensor) -> Tensor:
        """``(I - A⁺A) x``: the part of `x` that the measurement does not see."""
        return x - self.pseudo_inverse(self.operator(x))
