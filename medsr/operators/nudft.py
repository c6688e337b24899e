"""The exact non-uniform Fourier transform: slow, and what the fast ones are tested against."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from medsr.operators.base import LinearOperator
from medsr.operators.kspace import checked_complex, checked_trajectory


class NUDFT(LinearOperator):
    """``y[m] = 1/√N Σ_r x[r] exp(-2πi Σ_a k[m, a] (r_a - n_a//2) / n_a)``, summed as it stands.

    The conventions are those of `medsr.operators.nufft.NUFFT`. Work grows as samples times voxels, so this
    is for tests and small problems.

    Parameters
    ----------
    trajectory : (samples, dims), cycles per field of view.
    shape : of the image, 1 to 3 axes; ``N`` is their product.
    times, rates : optional, together. With readout `times` (samples,) in s and complex `rates` (*shape) in
        1/s, the factor ``exp(-rates[r] times[m])`` stands under the sum: off-resonance and T2* decay without
        any approximation (see `medsr.operators.offresonance`).
    """

    def __init__(
        self,
        trajectory: Tensor,
        shape: Sequence[int],
        times: Tensor | None = None,
        rates: Tensor | None = None,
    ) -> None:
        k = checked_trajectory(trajectory, shape)
        self.in_shape, self.out_shape = tuple(shape), (k.shape[0],)
        voxels = torch.cartesian_prod(
            *(((torch.arange(n, dtype=torch.float64, device=k.device) - n // 2) / n) for n in shape)
        ).reshape(-1, len(shape))
        exponent = -2j * math.pi * (k @ voxels.mT).to(torch.complex128)
        if times is not None and rates is not None:
            exponent = exponent - torch.outer(times.to(torch.complex128), rates.flatten().to(torch.complex128))
        self.matrix = torch.exp(exponent) / math.sqrt(math.prod(shape))

    def _forward(self, x: Tensor) -> Tensor:
        checked_complex("NUDFT", x)
        flat = x.reshape(*x.shape[: x.ndim - len(self.in_shape)], -1)
        return flat @ self.matrix.to(x).mT

    def _adjoint(self, y: Tensor) -> Tensor:
        checked_complex("NUDFT", y)
        return (y @ self.matrix.to(y).conj()).reshape(*y.shape[:-1], *self.in_shape)
