"""The image-domain data-consistency layer, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from medsr.operators.modeproduct import mode_product
from medsr.operators.resolution import Resolution

RIDGE = 1e-6
"""Of the largest squared singular value: what keeps modes that were hardly measured from being divided by zero."""

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

    def null_space(self, x: Tensor) -> Tensor:
        """``(I - A⁺A) x``: the part of `x` that the measurement does not see."""
        return x - self.pseudo_inverse(self.operator(x))
