"""Relative changes of a series under a prior of modes: what a run's samples say of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from medsr.consistency.batched import BatchedSeriesGram
from medsr.consistency.cg import conjugate_gradients
from medsr.consistency.krylov import Stop, pcg
from medsr.consistency.series import SeriesGram
from medsr.operators.base import LinearOperator


class RelativeChanges:
    """``S v = X Cᵀ w F⁻¹ diag(√P) v``: from white modes v to the changes of a series, (frames, *shape) complex.

    F is the orthonormal Fourier transform over space, C the orthonormal cosine transform over time; √P acts on
    the modes of the real and of the imaginary part of ``u = F⁻¹ …`` apart; w weights each cosine over the
    image; X is the image that the changes are relative to. S is linear over the reals, and `adjoint` is its
    adjoint under ``Re <·,·>``.

    Parameters
    ----------
    size : X, (*shape) complex.
    real, imaginary : ``√P``, (frames, *shape), even in the spatial frequency.
    weights : w, (frames, *shape).
    """

    def __init__(self, size: Tensor, real: Tensor, imaginary: Tensor, weights: Tensor) -> None:
        self.size, self.real, self.imaginary, self.weights = size, real, imaginary, weights
        self.dims = tuple(range(1, real.ndim))
        self.half = (real + imaginary) / 2, (real - imaginary) / 2

    def over_voxels(self, v: Tensor) -> Tensor:
        """``w F⁻¹ diag(√P) v``: cosines over time, voxels over space."""
        return torch.fft.ifftn(_mixed(v, *self.half), dim=self.dims, norm="ortho") * self.weights

    def forward(self, v: Tensor) -> Tensor:
        return self.size * cosine_series(self.over_voxels(v))

    def adjoint(self, x: Tensor) -> Tensor:
        u = cosine_modes(self.size.conj() * x) * self.weights
        return _mixed(torch.fft.fftn(u, dim=self.dims, norm="ortho"), *self.half)


def posterior(
    gram: Callable[[Tensor], Tensor],
    changes: RelativeChanges,
    residual: Tensor,
    noise: float,
    average: Tensor,
    *,
    iterations: int,
    initial: Tensor | None = None,
) -> Tensor:
    """``argmin_v Σ_t ‖A_t (S v)_t - r_t‖² / σ² + ‖v‖²`` by a fixed number of preconditioned conjugate gradients.

    The hard consistency layer: whatever made the prior, the changes answer to the samples. Autograd goes through
    the steps.

    Parameters
    ----------
    gram : ``A_tᴴA_t`` on series.
    residual : ``A_tᴴ r_t``, (frames, *shape).
    noise : σ.
    average : what the samples of an average frame tell of each spatial mode of u, (*shape): the preconditioner
        is ``1 / (1 + P average / σ²)``.
    initial : v to start from.
    """
    scale = noise**-2
    re, im = (1 / (1 + scale * average * d.square()) for d in (changes.real, changes.imaginary))
    if not torch.is_grad_enabled():  # the same steps in place
        half = (re + im) / 2, (re - im) / 2
        return pcg(
            lambda v: changes.adjoint(gram(changes.forward(v))).mul_(scale),
            changes.adjoint(residual).mul_(scale),
            1.0,
            Stop(iterations, 0.0),
            precondition=lambda r: _mixed(r, *half),
            start=initial,
        )[0]
    return conjugate_gradients(
        lambda v: scale * changes.adjoint(gram(changes.forward(v))),
        scale * changes.adjoint(residual),
        damping=1.0,
        item_dims=residual.ndim,
        iterations=iterations,
        initial=initial,
        preconditioner=lambda r: parts(r, re, im),
    ).x


def parts(v: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
    """Multiply the modes of the real part of an image by `real`, those of its imaginary part by `imaginary`."""
    return _mixed(v, (real + imaginary) / 2, (real - imaginary) / 2)


def _mixed(v: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """``own v(k) + other conj(v(-k))``."""
    dims = tuple(range(1, v.ndim))
    mirrored = torch.roll(torch.flip(v, dims), [1] * len(dims), dims).conj()
    return v * own + mirrored * other


def cosine_modes(x: Tensor) -> Tensor:
    """Orthonormal cosine transform (DCT-II) over the first axis of a complex series."""
    return _over_time(_cosines(len(x)), x)


def cosine_series(x: Tensor) -> Tensor:
    """The inverse of `cosine_modes`."""
    return _over_time(_cosines(len(x)).T, x)


def _over_time(matrix: Tensor, x: Tensor) -> Tensor:
    flat = torch.view_as_real(x.resolve_conj()).reshape(len(x), -1)
    return torch.view_as_complex((matrix.to(flat) @ flat).reshape(*x.shape, 2))


@lru_cache(maxsize=8)
def _cosines(frames: int) -> Tensor:
    m = torch.arange(frames, dtype=torch.float64)
    matrix = torch.cos(math.pi / frames * m[:, None] * (m + 0.5)) * math.sqrt(2 / frames)
    matrix[0] /= math.sqrt(2)
    return matrix


class SeriesOperator(LinearOperator):
    """``A_tᴴA_t`` of all frames, or of some, as an operator with an autograd rule."""

    def __init__(self, system: SeriesGram | BatchedSeriesGram, frames: slice = slice(None)) -> None:
        self.system, self.frames = system, frames
        self.in_shape = self.out_shape = (len(range(len(system))[frames]), *system.shape)

    def _forward(self, x: Tensor) -> Tensor:
        return self.system.of(self.frames, x.detach().resolve_conj().contiguous())

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)
