"""From an object on a fine grid to k-space samples, with decay and off-resonance along the readout."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medsr.errors import UsageError

_EPS = 1e-4
"""Accuracy asked of the non-uniform FFT; with the smaller oversampling it is six times as fast as at 2."""


class Encoder:
    """Samples of one slice: ``y_c(j) = n/N² Σ_r x(r) S_c(r) exp(-(2πi f(r) + R(r)) τ_j) exp(-2πi k_j·r)``.

    x lives on N x N points of the field of view, finer than the n x n of the reconstruction; r = 0 lies at
    index N // 2; the sign of f is that of `medsr.operators.offresonance`. The factor (n/N)² makes the sum one
    over the reconstruction's voxels, and 1/n makes it the orthonormal transform of `medsr.operators.nufft`. The
    exponential in τ is replaced by its best separable approximation ``Σ_l a_l(r) b_l(j)`` of the accuracy asked
    for, by a singular value decomposition (for time segments see Fessler et al., IEEE Trans Signal Process
    53:3393, 2005, doi 10.1109/TSP.2005.853152).

    Parameters
    ----------
    sensitivities : (coils, N, N) complex.
    field : off-resonance f in Hz, (N, N).
    decay : relaxation rate R in 1/s, (N, N).
    tau : (samples,) time since the echo in s, of one readout.
    matrix : n of the reconstruction.
    tolerance : relative accuracy of the separable approximation.
    """

    def __init__(
        self,
        sensitivities: NDArray[np.complex64],
        field: NDArray[np.float64],
        decay: NDArray[np.float64],
        tau: NDArray[np.float64],
        matrix: int,
        tolerance: float = 3e-4,
    ) -> None:
        try:
            import finufft
        except ImportError:
            raise UsageError("simulating raw data needs finufft", hint='pip install "medsr[kspace]"') from None
        self.coils, self.size, _ = sensitivities.shape
        self.matrix = matrix
        maps, self.basis = _separated(field, decay, tau, tolerance)
        scale = matrix / self.size**2
        # (segments, coils, N, N): the transform of each is weighted by its basis function
        self.maps = np.ascontiguousarray(maps[:, None] * (scale * sensitivities), dtype=np.complex64)
        self._plan = finufft.Plan(
            2,
            (self.size, self.size),
            n_trans=self.maps.shape[0] * self.coils,
            eps=_EPS,
            isign=-1,
            dtype="complex64",
            nthreads=1,
            upsampfac=1.25,
        )
        self._buffer = np.empty_like(self.maps)

    @property
    def segments(self) -> int:
        """Number of terms in the separable approximation."""
        return int(self.maps.shape[0])

    def __call__(self, x: NDArray[np.complex64], k: NDArray[np.float64]) -> NDArray[np.complex64]:
        """Samples (coils, samples) of object x (N, N) along one readout k (samples, 2), in cycles per FOV."""
        np.multiply(self.maps, x, out=self._buffer)
        at = (2 * math.pi / self.size * k.T).astype(np.float32)
        self._plan.setpts(np.ascontiguousarray(at[0]), np.ascontiguousarray(at[1]))
        parts = self._plan.execute(self._buffer.reshape(-1, self.size, self.size))
        parts = parts.reshape(self.segments, self.coils, -1)
        return np.einsum("lcj,lj->cj", parts, self.basis)


def _separated(
    field: NDArray[np.float64], decay: NDArray[np.float64], tau: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Maps (segments, N, N) and functions (segments, samples) whose products add up to exp(-(2πi f + R) τ)."""
    rate = -(2j * math.pi * field + decay).ravel()
    # the spread of rates decides the rank: some hundreds of them, and the extremes, tell it
    some = rate[:: max(1, len(rate) // 400)]
    corners = [
        complex(a, b) for a in (rate.real.min(), rate.real.max()) for b in (rate.imag.min(), rate.imag.max())
    ]
    sample = np.exp(np.concatenate([some, corners])[:, None] * tau)
    _, s, vh = np.linalg.svd(sample, full_matrices=False)
    tail = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])
    rank = max(1, int((tail > tolerance * tail[0]).sum()))
    basis = vh[:rank]
    # the functions of τ are smooth: some nodes along the readout give the maps by least squares
    nodes = np.unique(np.linspace(0, len(tau) - 1, 16 * rank).round().astype(int))
    solve = np.linalg.pinv(basis[:, nodes])
    maps = np.exp(rate[:, None] * tau[nodes]) @ solve
    return np.ascontiguousarray(maps.T, dtype=np.complex64).reshape(rank, *field.shape), basis.astype(np.complex64)


def low_pass(x: NDArray[np.complex64], matrix: int) -> NDArray[np.complex64]:
    """What an ideal, fully sampled spiral of `matrix` shows of object x (..., N, N): (..., matrix, matrix).

    The Fourier transform of x within the disc ``|k| <= matrix / 2``, on the reconstruction's voxels, whose
    voxel n // 2 lies where x has N // 2.
    """
    size = x.shape[-1]
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x, axes=(-2, -1))), axes=(-2, -1))
    low = size // 2 - matrix // 2
    part = spectrum[..., low : low + matrix, low : low + matrix]
    k = np.arange(matrix) - matrix // 2
    part = part * (np.hypot(k[:, None], k) <= matrix / 2)
    back = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(part, axes=(-2, -1))), axes=(-2, -1))
    return (back * (matrix / size) ** 2).astype(np.complex64)
