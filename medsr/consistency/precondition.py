"""What makes SENSE converge in fewer steps: a circulant in Fourier space, and fewer coils."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from medsr.acquisition.compress import compression_matrix
from medsr.acquisition.prewhiten import mix_coils

TAIL = 1e-2
"""Share of the coils' total energy that the principal ones may leave out."""

AT_ONCE = 2**18
"""Samples that are counted at a time."""

WORTHWHILE = 0.5
"""Principal coils pay where they are at most this share of all."""


def principal_maps(maps: Tensor, tail: float = TAIL) -> tuple[Tensor, Tensor]:
    """Unitary mixtures of the coil maps: the fewest that hold all but `tail` of their energy, and the rest.

    ``Σ_c S_cᴴ T S_c`` does not change when coils are mixed by a unitary matrix, so it is the sum of the grams of
    the two: the first small and close to the whole, a preconditioner for equations that keep every coil (ours;
    coil compression proper is `medsr.acquisition.compress`).

    maps : complex (coils, *shape). Returns (few, *shape) and (coils - few, *shape).
    """
    if not bool(maps.any()):
        return maps, maps[:0]
    few = len(compression_matrix(maps, tail=tail, axis=0))
    mixed = mix_coils(compression_matrix(maps, coils=len(maps), axis=0), maps, 0)
    return mixed[:few].contiguous(), mixed[few:].contiguous()


class CirculantPreconditioner:
    """``M Fᴴ diag((d + λ)^(-1/2)) F M`` on one frame, F the orthonormal FFT, M the support of the coil maps.

    ``d[κ] = Σ_m Σ_c |ŝ_c(k_m - κ)|² / N²`` is the diagonal of ``AᴴA`` in Fourier space: how strongly the samples
    see each spatial frequency, blurred by the coils (samples rounded to whole cycles, which is enough here).
    The full inverse would be the best circulant (T. Chan, SIAM J Sci Stat Comput 9:766 (1988)), but where one
    interleaf leaves gaps it trusts frequencies that no sample sees; the square root, ours, evens out the
    dense centre of a spiral and leaves the gaps alone.

    Parameters
    ----------
    maps : complex (coils, *shape), the dtype and device that it works in.
    """

    def __init__(self, maps: Tensor) -> None:
        self.shape = tuple(maps.shape[1:])
        self.dims = tuple(range(-len(self.shape), 0))
        power = torch.zeros(self.shape, dtype=maps.real.dtype, device=maps.device)
        for coil in maps:
            power += torch.fft.fftn(coil).abs().square()
        # of the mirrored power: d correlates the samples with it
        self.blur = torch.fft.fftn(power / math.prod(self.shape) ** 2).conj().resolve_conj()
        support = maps.abs().amax(0) > 0
        self.support = None if bool(support.all()) else support.to(maps.real.dtype)

    def spectrum(self, trajectory: Tensor, damping: float) -> Tensor:
        """``(d + λ)^(-1/2)`` for samples at `trajectory` (samples, dims), cycles per field of view."""
        density = torch.zeros(math.prod(self.shape), dtype=torch.int64, device=trajectory.device)
        for points in trajectory.split(AT_ONCE):
            cell = torch.zeros(len(points), dtype=torch.int64, device=trajectory.device)
            for axis, n in enumerate(self.shape):
                cell = cell * n + torch.remainder(torch.round(points[:, axis]).long(), n)
            density += torch.bincount(cell, minlength=len(density))
        density = density.reshape(self.shape)
        d = torch.fft.ifftn(torch.fft.fftn(density.to(self.blur.real)) * self.blur).real
        # λ = 0 is allowed; a frequency that nothing sees must not blow up
        return (d.clamp(min=0) + max(damping, 1e-6 * float(d.max()))).rsqrt()

    def apply(self, x: Tensor, spectrum: Tensor) -> Tensor:
        """Precondition `x` (..., *shape) with the `spectrum` of its trajectory."""
        if self.support is not None:
            x = x * self.support
        x = torch.fft.ifftn(torch.fft.fftn(x, dim=self.dims).mul_(spectrum), dim=self.dims)
        return x if self.support is None else x * self.support
