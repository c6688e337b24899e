"""Kaiser-Bessel gridding in plain torch: the non-uniform FFT as a sparse real matrix and an FFT."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.special import i0e
from torch import Tensor

from medsr.errors import UsageError

WIDEST = 16
"""Kernel width, in grid points, above which double precision gains nothing more."""


@dataclass(frozen=True)
class KaiserBessel:
    """A Kaiser-Bessel kernel `width` points wide on a grid `oversampling` times finer than the image's.

    ``φ(u) = I0(β √(1 - (2u/width)²))``, |u| <= width/2, β after Beatty et al., IEEE Trans Med Imaging 24:799
    (2005), doi:10.1109/TMI.2005.848376.
    """

    width: int
    oversampling: float

    @property
    def beta(self) -> float:
        return math.pi * math.sqrt((self.width * (1 - 0.5 / self.oversampling)) ** 2 - 0.8)

    def taps(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """First grid point (…) and values (…, width) of the kernel centred at each `u`, in grid points.

        Between grid points every tap is a smooth function of the offset, so it is evaluated as a polynomial.
        """
        first = torch.ceil(u - self.width / 2)
        # the offset, -1 to 1
        t = (2 * (u - first) - (self.width - 1)).unsqueeze(-1)
        powers = _tap_polynomials(self.width, self.beta).to(u)
        value = powers[0].expand(*u.shape, -1)
        for coefficient in powers[1:]:
            value = torch.addcmul(coefficient, value, t)
        return first, value

    def transform(self, frequency: Tensor) -> Tensor:
        """The Fourier transform of the kernel at `frequency`, in cycles per grid point."""
        squared = self.beta**2 - (math.pi * self.width * frequency) ** 2
        root = squared.abs().sqrt().clamp(min=1e-12)
        value = torch.where(squared >= 0, torch.sinh(root), torch.sin(root)) / root
        return self.width * value * math.exp(-self.beta)


@lru_cache(maxsize=64)
def _tap_polynomials(width: int, beta: float) -> Tensor:
    """(degree + 1, width) float64 coefficients, highest power first, of ``φ(t/2 + (width - 1)/2 - i)``, tap i."""
    degree = width + 8
    nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    u = nodes[:, None] / 2 + (width - 1) / 2 - np.arange(width)
    inside = np.sqrt(np.clip(1 - (2 * u / width) ** 2, 0, None))
    values = i0e(beta * inside) * np.exp(beta * (inside - 1))
    fitted = np.polynomial.chebyshev.chebfit(nodes, values, degree)
    powers = np.zeros_like(fitted)
    for tap, column in enumerate(fitted.T):
        monomials = np.polynomial.chebyshev.cheb2poly(column)  # without trailing zeros
        powers[: len(monomials), tap] = monomials
    return torch.from_numpy(powers[::-1].copy())


def kernel_width(eps: float, oversampling: float) -> int:
    """The width that keeps the relative error of a transform below about `eps`.

    The aliases that an ideal kernel leaves fall as ``exp(-π width √(1 - 1/oversampling))`` (Barnett, Magland and
    af Klinteberg, SIAM J Sci Comput 41:C479 (2019), doi:10.1137/18M120885X); the 0.4 of a point more is
    fitted to the Kaiser-Bessel kernel against the exact sum.
    """
    width = math.ceil(math.log(1 / eps) / (math.pi * math.sqrt(1 - 1 / oversampling)) + 0.4)
    return min(max(width, 2), WIDEST)


def fast_length(least: int) -> int:
    """The smallest multiple of 4 of at least `least` whose only prime factors are 2, 3, 5 and 7.

    An FFT of 150 = 2 · 75 points an axis takes longer than one of 160, one of 126 longer than one of 128.
    """
    n = max(4, least + -least % 4)
    while True:
        rest = n
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 4


class Grid:
    """The oversampled grid of one image shape and accuracy, and the sparse matrices that lead to samples.

    The image stands in the middle of the grid, so that shifting it to the origin is a sign ``(-1)^j`` at grid
    point ``j``; the sign is folded into the matrix, and no `fftshift` is ever done.

    Parameters
    ----------
    shape : of the image.
    eps : relative accuracy aimed at.
    oversampling : 1.25 to 2; the grid has the next length that the FFT likes.
    """

    def __init__(self, shape: Sequence[int], eps: float, oversampling: float) -> None:
        if not (0 < eps < 1 and 1.05 <= oversampling <= 4):
            raise UsageError(
                "no gridding of that accuracy",
                got=f"eps {eps}, oversampling {oversampling}",
                rule="0 < eps < 1 and 1.05 <= oversampling <= 4",
            )
        self.shape = tuple(shape)
        self.size = tuple(fast_length(math.ceil(n * oversampling)) for n in shape)
        self.kernels = tuple(
            KaiserBessel(kernel_width(eps, g / n), g / n) for n, g in zip(shape, self.size, strict=True)
        )
        self.window = tuple(
            slice(g // 2 - n // 2, g // 2 - n // 2 + n) for n, g in zip(shape, self.size, strict=True)
        )

    def apodisation(self) -> Tensor:
        """(*shape) float64 factor ``1 / φ̂`` of the image, orthonormal scale included."""
        total = torch.ones((), dtype=torch.float64)
        for axis, (n, g, kernel) in enumerate(zip(self.shape, self.size, self.kernels, strict=True)):
            r = (torch.arange(n, dtype=torch.float64) - n // 2) / g
            view = [1] * len(self.shape)
            view[axis] = n
            total = total * (1 / (kernel.transform(r) * math.sqrt(n))).reshape(view)
        return total

    def interpolation(self, k: Tensor, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Columns (int32) and weights (`dtype`), both (samples, taps), of the matrix from grid points to samples.

        k : (samples, dims), cycles per field of view.
        """
        columns = torch.zeros(len(k), 1, dtype=torch.int32, device=k.device)
        weights = torch.ones(len(k), 1, dtype=dtype, device=k.device)
        for axis, (n, g, kernel) in enumerate(zip(self.shape, self.size, self.kernels, strict=True)):
            first, value = kernel.taps(k[:, axis] * (g / n))
            j = first[:, None] + torch.arange(kernel.width, device=k.device)
            value = (value * (1 - 2 * torch.remainder(j, 2))).to(dtype)
            place = torch.remainder(j, g).int()
            columns = ((columns * g)[:, :, None] + place[:, None, :]).flatten(1)
            weights = (weights[:, :, None] * value[:, None, :]).flatten(1)
        return columns, weights

    def matrices(self, k: Tensor, dtype: torch.dtype) -> Interpolation:
        """The interpolation from grid to samples as sparse matrices of real `dtype`."""
        columns, weights = self.interpolation(k, dtype)
        samples, taps = columns.shape
        columns, weights = columns.flatten(), weights.flatten()
        order = torch.argsort(columns, stable=True).int()
        counts = torch.bincount(columns, minlength=math.prod(self.size))
        touched = torch.nonzero(counts).flatten()
        position = counts.new_zeros(len(counts), dtype=torch.int32)
        position[touched] = torch.arange(len(touched), dtype=torch.int32, device=k.device)
        rows = torch.arange(0, samples * taps + 1, taps, dtype=torch.int32, device=k.device)
        starts = torch.zeros(len(touched) + 1, dtype=torch.int32, device=k.device)
        torch.cumsum(counts[touched], 0, dtype=torch.int32, out=starts[1:])
        return Interpolation(
            touched,
            _csr(rows, position[columns], weights, (samples, len(touched))),
            _csr(starts, order // taps, weights[order], (len(touched), samples)),
        )


def cheapest_oversampling(shape: Sequence[int], eps: float, samples: int) -> tuple[float, float]:
    """The oversampling that costs least at accuracy `eps`, and its operations for one image both ways.

    An FFT of G points counts ``5 G log2 G``, interpolation ``4 width^dims`` a sample: a coarser grid saves on
    the first and a wider kernel pays on the second, so few samples want a coarse grid. Not coarser than 7/6: the
    apodisation then spans so many decades that single precision loses the image's edges in rounding.
    """
    best = (2.0, math.inf)
    for oversampling in (7 / 6, 1.25, 1.375, 1.5, 1.75, 2.0):
        width = kernel_width(eps, oversampling)
        if width == WIDEST:
            continue
        points = math.prod(fast_length(math.ceil(n * oversampling)) for n in shape)
        count = 10 * points * math.log2(points) + 8 * width ** len(shape) * samples
        if count < best[1]:
            best = oversampling, count
    return best


@dataclass(frozen=True)
class Interpolation:
    """touched : (points,) the grid points that any sample sees, ascending.
    forward, adjoint : CSR, (samples, points) and its transpose.
    """

    touched: Tensor
    forward: Tensor
    adjoint: Tensor


with warnings.catch_warnings():
    # torch says once a process that CSR is in beta; the products used here are tested against the exact sum
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor(torch.tensor([0, 1]), torch.tensor([0]), torch.ones(1), size=(1, 1))


def _csr(starts: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    # 32-bit indices: half the memory that each product has to read
    return torch.sparse_csr_tensor(starts, columns, values, size=size, check_invariants=False)


class GriddedTransform:
    """The orthonormal non-uniform Fourier transform of one trajectory, on the device of the tensors given.

    Images (batch, *shape), samples (batch, samples). The batch is the fast axis of the sparse products: the
    same real weights serve the real and imaginary parts of every image.
    """

    def __init__(self, k: Tensor, shape: Sequence[int], eps: float, oversampling: float = 2.0) -> None:
        self.k = k
        self.grid = Grid(shape, eps, oversampling)
        self._parts: dict[tuple[torch.dtype, torch.device], tuple[Interpolation, Tensor]] = {}

    def _of(self, like: Tensor) -> tuple[Interpolation, Tensor]:
        real = like.real.dtype
        key = real, like.device
        if key not in self._parts:
            interpolation = self.grid.matrices(self.k.to(like.device), real)
            self._parts[key] = interpolation, self.grid.apodisation().to(like.device, real)
        return self._parts[key]

    def forward(self, x: Tensor) -> Tensor:
        interpolation, apodisation = self._of(x)
        padded = x.new_zeros(x.shape[0], *self.grid.size)
        padded[(slice(None), *self.grid.window)] = x * apodisation
        spectrum = torch.fft.fftn(padded, dim=tuple(range(1, padded.ndim))).flatten(1)
        return from_columns(interpolation.forward @ to_columns(spectrum[:, interpolation.touched]))

    def adjoint(self, y: Tensor) -> Tensor:
        interpolation, apodisation = self._of(y)
        spectrum = y.new_zeros(y.shape[0], math.prod(self.grid.size))
        spectrum[:, interpolation.touched] = from_columns(interpolation.adjoint @ to_columns(y))
        image = torch.fft.ifftn(
            spectrum.unflatten(1, self.grid.size), dim=tuple(range(1, len(self.grid.size) + 1)), norm="forward"
        )
        return image[(slice(None), *self.grid.window)] * apodisation


def to_columns(x: Tensor) -> Tensor:
    """Complex (batch, points) to real (points, 2 batch)."""
    return torch.view_as_real(x.mT.contiguous()).flatten(1)


def from_columns(x: Tensor) -> Tensor:
    """Real (points, 2 batch) to complex (batch, points)."""
    return torch.view_as_complex(x.unflatten(1, (-1, 2))).mT.contiguous()
