"""``FᴴWF`` of a non-uniform Fourier transform as a convolution, and when that is worth it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from medsr.errors import UsageError
from medsr.operators.base import LinearOperator
from medsr.operators.gridding import cheapest_oversampling, fast_length
from medsr.operators.kspace import checked_complex
from medsr.operators.nufft import NUFFT, Backend


class ToeplitzGram(LinearOperator):
    """``Fᴴ W F x`` with F the orthonormal NUFFT of one trajectory and W = diag(weights).

    The entry between voxels r and s depends on ``r - s`` alone, so the product is a convolution with a kernel
    that reaches ``n - 1`` voxels to either side. On a grid of at least ``2n - 1`` points the circular
    convolution is the linear one for every voxel, the borders included; nothing is windowed or cut.

    Fessler et al., IEEE Trans Signal Process 53:3393 (2005), doi:10.1109/TSP.2005.853152.

    Parameters
    ----------
    trajectory : (samples, dims), cycles per field of view.
    shape : of the image.
    weights : (samples,), real or complex; ones by default.
    eps : relative accuracy of the kernel.
    """

    def __init__(
        self,
        trajectory: Tensor,
        shape: Sequence[int],
        weights: Tensor | None = None,
        *,
        eps: float = 1e-6,
        backend: Backend = "auto",
    ) -> None:
        self.in_shape = self.out_shape = tuple(shape)
        self.eps, self.backend = eps, backend
        self.trajectory = trajectory
        self.weights = torch.ones(trajectory.shape[0], device=trajectory.device) if weights is None else weights
        if self.weights.shape != trajectory.shape[:1]:
            raise UsageError(
                "one weight a sample", got=tuple(self.weights.shape), rule=f"({trajectory.shape[0]},)"
            )
        self.size = embedding(shape)
        self._spectra: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def spectrum(self, like: Tensor) -> Tensor:
        """The kernel's transform on the embedding grid; real where the weights are."""
        key = like.dtype, like.device
        if key not in self._spectra:
            weights = self.weights.to(device=like.device, dtype=torch.complex128)
            spectrum = toeplitz_spectrum(
                self.trajectory.to(like.device), self.in_shape, weights, eps=self.eps, backend=self.backend
            )
            self._spectra[key] = (
                spectrum.to(like.dtype) if self.weights.is_complex() else spectrum.real.to(like.real.dtype)
            )
        return self._spectra[key]

    def _forward(self, x: Tensor) -> Tensor:
        checked_complex("ToeplitzGram", x)
        return convolve(x, self.spectrum(x), self.in_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        checked_complex("ToeplitzGram", y)
        return convolve(y, self.spectrum(y).conj(), self.in_shape)


def embedding(shape: Sequence[int]) -> tuple[int, ...]:
    """The grid on which a circular convolution is linear for images of `shape`: at least ``2n - 1`` an axis."""
    return tuple(fast_length(2 * n - 1) for n in shape)


def toeplitz_spectrum(
    trajectory: Tensor, shape: Sequence[int], weights: Tensor, *, eps: float = 1e-6, backend: Backend = "auto"
) -> Tensor:
    """The transform of ``t[d] = 1/N Σ_m weights[m] exp(2πi k[m]·d / n)``, |d_a| < n_a, on `embedding(shape)`.

    weights : complex, (..., samples). Returns (..., *embedding) of its dtype; its imaginary part is
    rounding where the weights are real.
    """
    double = tuple(2 * n for n in shape)
    # the same k is twice as many cycles over a field of view twice as wide
    lags = NUFFT(2 * trajectory, double, eps=eps, backend=backend).adjoint(weights)
    lags = lags * (math.sqrt(math.prod(double)) / math.prod(shape))
    size = embedding(shape)
    for axis, (n, g) in enumerate(zip(shape, size, strict=True), start=lags.ndim - len(shape)):
        # index i of the doubled image is lag i - n; lag -n is never needed, and without its counterpart it
        # would only make the spectrum complex
        positive, negative = lags.narrow(axis, n, n), lags.narrow(axis, 1, n - 1)
        gap = list(lags.shape)
        gap[axis] = g - (2 * n - 1)
        lags = torch.cat([positive, lags.new_zeros(gap), negative], axis)
    return torch.fft.fftn(lags, dim=tuple(range(-len(shape), 0)))


def convolve(x: Tensor, spectrum: Tensor, shape: Sequence[int]) -> Tensor:
    """``C x`` with a kernel given by `spectrum` on `embedding(shape)`; both batched over leading axes."""
    for axis, g in zip(range(-1, -len(shape) - 1, -1), reversed(embedding(shape)), strict=True):
        x = torch.fft.fft(x, n=g, dim=axis)  # rows of zeros are never transformed
    x = x * spectrum
    for axis, n in zip(range(-len(shape), 0), shape, strict=True):
        x = torch.fft.ifft(x, dim=axis).narrow(axis, 0, n)
    return x


def direct_is_cheaper(samples: int, shape: Sequence[int], *, eps: float = 1e-6, segments: int = 1) -> bool:
    """Whether NUFFT and adjoint cost less than the Toeplitz product, by counting operations for one coil.

    Direct: see `cheapest_oversampling`; once a time segment. Toeplitz: two FFTs of the embedding grid, rows
    of zeros left out, once a time segment, and a product at each of its points with a matrix that has a row
    and a column a segment.
    """
    direct = segments * cheapest_oversampling(shape, eps, samples)[1]
    points = math.prod(embedding(shape))
    mixing = (2 if segments == 1 else 8 * segments**2) * points
    toeplitz = segments * 10 * points * math.log2(points) * _pruned(len(shape)) + mixing
    return direct < toeplitz


def _pruned(dims: int) -> float:
    """The share of an embedded FFT left when rows of zeros are not transformed: 3/4 in 2D, 7/12 in 3D."""
    return sum(0.5**axis for axis in range(dims)) / dims
