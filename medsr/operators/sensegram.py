"""``AᴴA`` of a SENSE operator, written for speed: by gridding and back, or by Toeplitz embedding."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from medsr.operators.base import LinearOperator
from medsr.operators.gridding import Grid, Interpolation, cheapest_oversampling
from medsr.operators.kspace import checked_complex, checked_trajectory
from medsr.operators.nufft import Backend
from medsr.operators.offresonance import TimeSegments
from medsr.operators.toeplitz import convolve, toeplitz_spectrum

CHUNK = 16
"""Coils (times segments) gridded at a time: enough for the sparse products, few enough for the cache."""


class SharedMaps:
    """What the grams of all frames share: the maps scaled for gridding, and scratch memory a thread.

    maps : complex (coils, *shape); its dtype and device are those that the grams work in.
    """

    def __init__(self, maps: Tensor, samples: int, *, eps: float, segments: TimeSegments | None = None) -> None:
        self.maps, self.shape = maps, tuple(maps.shape[1:])
        self.grid = Grid(self.shape, eps, cheapest_oversampling(self.shape, eps, samples)[0])
        self.scaled = maps * self.grid.apodisation().to(maps.device, maps.real.dtype)
        self.conjugate = self.scaled.conj().resolve_conj()
        self.phases = None if segments is None else segments.phases.to(maps)
        # (samples, segments, 1): samples are rows on the way through the sparse products
        self.weights = None if segments is None else segments.weights.to(maps).mT.unsqueeze(-1).contiguous()
        self._local = threading.local()

    def scratch(self, images: int) -> tuple[Tensor, Tensor]:
        """Two zeroed grids (images, *size) of this thread; who writes to them writes to the same places again."""
        held: dict[int, tuple[Tensor, Tensor]] = self._local.__dict__.setdefault("held", {})
        if images not in held:
            shape = (images, *self.grid.size)
            held[images] = self.maps.new_zeros(shape), self.maps.new_zeros(shape)
        return held[images]

    def chunks(self) -> Iterator[slice]:
        """Runs of coils, of nearly equal size."""
        coils = len(self.maps)
        per_coil = 1 if self.phases is None else len(self.phases)
        number = -(-coils * per_coil // max(CHUNK, per_coil))
        for i in range(number):
            yield slice(i * coils // number, (i + 1) * coils // number)


class DirectSenseGram(LinearOperator):
    """``Σ_c S_cᴴ Fᴴ F S_c`` (with time segments, ``Σ_c S_cᴴ A_cᴴ A_c S_c``) through the samples.

    The spectrum of each coil image is interpolated at the samples and spread back at once. Coils stand side
    by side in one sparse product, so that the weights are read once for all; only grid points that a sample
    sees take part; scaling and apodisation ride on the coil maps.

    Its own work, measured against FINUFFT and the FFT alone by `pipelines/benchmarks/sense.py`.
    """

    def __init__(self, trajectory: Tensor, shared: SharedMaps) -> None:
        self.in_shape = self.out_shape = shared.shape
        self.shared = shared
        k = checked_trajectory(trajectory, shared.shape).to(shared.maps.device)
        self.interpolation: Interpolation = shared.grid.matrices(k, shared.maps.real.dtype)
        self.touched = self.interpolation.touched

    def _forward(self, x: Tensor) -> Tensor:
        checked_complex("DirectSenseGram", x)
        flat = x.reshape(-1, *self.in_shape).to(self.shared.maps.dtype)
        return torch.stack([self._one(image) for image in flat]).reshape(x.shape).to(x.dtype)

    _adjoint = _forward

    def _one(self, x: Tensor) -> Tensor:
        shared, dims = self.shared, tuple(range(-len(self.in_shape), 0))
        if shared.phases is not None:
            x = shared.phases * x
        total = None
        for coils in shared.chunks():
            maps, conjugate = shared.scaled[coils], shared.conjugate[coils]
            if shared.phases is not None:
                maps, conjugate = maps.unsqueeze(1), conjugate.unsqueeze(1)
            number = len(maps) * (1 if shared.phases is None else len(shared.phases))
            image, spectrum = shared.scratch(number)
            window = image[(slice(None), *shared.grid.window)]
            torch.mul(maps, x, out=window.unflatten(0, (len(maps), -1)) if shared.phases is not None else window)
            self._through_samples(torch.fft.fftn(image, dim=dims), spectrum)
            back = torch.fft.ifftn(spectrum, dim=dims, norm="forward")[(slice(None), *shared.grid.window)]
            if shared.phases is not None:
                back = back.unflatten(0, (len(maps), -1))
            part = (back * conjugate).sum(0)
            total = part if total is None else total.add_(part)
        assert total is not None
        return total if shared.phases is None else (total * shared.phases.conj()).sum(0)

    def _through_samples(self, spectrum: Tensor, out: Tensor) -> None:
        """Interpolate `spectrum` (images, *size) at the samples, spread the samples into `out`."""
        images = len(spectrum)
        real = spectrum.real.dtype
        # a complex number moves as one real of twice the size: gather has no fast path for complex
        wide = torch.float64 if real == torch.float32 else torch.complex128
        places = self.touched.expand(images, -1)
        rows = torch.gather(spectrum.flatten(1).view(wide), 1, places).mT.contiguous()
        samples = self.interpolation.forward @ rows.view(real)
        if self.shared.weights is not None:
            samples = _mix(samples, self.shared.weights)
        rows = (self.interpolation.adjoint @ samples).view(wide)
        out.flatten(1).view(wide).scatter_(1, places, rows.mT)


def _mix(samples: Tensor, weights: Tensor) -> Tensor:
    """``b_l conj`` of the sum over segments: (M, 2 · coils · segments) to the same."""
    y = torch.view_as_complex(samples.unflatten(1, (-1, len(weights[0]), 2)))  # (M, coils, segments)
    b = weights.mT  # (M, 1, segments)
    y = (y * b).sum(-1, keepdim=True) * b.conj()
    return torch.view_as_real(y).flatten(1)


class ToeplitzSenseGram(LinearOperator):
    """``Σ_c S_cᴴ (Fᴴ F) S_c`` with ``Fᴴ F`` a convolution (see `medsr.operators.toeplitz.ToeplitzGram`).

    With time segments it is ``Σ_c S_cᴴ Σ_ll' diag(e_l)ᴴ T_ll' diag(e_l') S_c`` where ``T_ll'`` is weighted by
    ``conj(b_l) b_l'``: a matrix of kernels, one FFT a segment each way.
    """

    def __init__(
        self,
        trajectory: Tensor,
        maps: Tensor,
        *,
        eps: float,
        segments: TimeSegments | None = None,
        backend: Backend = "auto",
    ) -> None:
        self.in_shape = self.out_shape = tuple(maps.shape[1:])
        self.maps = maps
        k = checked_trajectory(trajectory, self.in_shape).to(maps.device)
        self.phases = None if segments is None else segments.phases.to(maps)
        if segments is None:
            weights = torch.ones(len(k), dtype=torch.complex128, device=maps.device)
        else:
            b = segments.weights.to(maps.device)
            weights = b.conj().unsqueeze(1) * b.unsqueeze(0)
        spectrum = toeplitz_spectrum(k, self.in_shape, weights, eps=eps, backend=backend)
        self.spectrum = spectrum.real.to(maps.real.dtype) if segments is None else spectrum.to(maps.dtype)

    def _forward(self, x: Tensor) -> Tensor:
        checked_complex("ToeplitzSenseGram", x)
        flat = x.reshape(-1, *self.in_shape).to(self.maps.dtype)
        return torch.stack([self._one(image) for image in flat]).reshape(x.shape).to(x.dtype)

    _adjoint = _forward

    def _one(self, x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for maps in self.maps.split(4):  # four doubled grids stay in the cache
            images = maps * x
            if self.phases is not None:
                images = self.phases * images.unsqueeze(1)
                images = _mixed_convolution(images, self.spectrum, self.in_shape)
                images = (self.phases.conj() * images).sum(1)
            else:
                images = convolve(images, self.spectrum, self.in_shape)
            total += (maps.conj() * images).sum(0)
        return total


def _mixed_convolution(x: Tensor, spectra: Tensor, shape: Sequence[int]) -> Tensor:
    """``out_l = Σ_l' T_ll' x_l'``: x (coils, segments, *shape), spectra (segments, segments, *embedding)."""
    dims = tuple(range(-len(shape), 0))
    size = spectra.shape[2:]
    spectrum = torch.fft.fftn(x, s=size, dim=dims)
    mixed = torch.stack([(row * spectrum).sum(1) for row in spectra], 1)
    return torch.fft.ifftn(mixed, dim=dims)[(..., *(slice(0, n) for n in shape))]
