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
        # (samples, 1, segments): samples are rows on the way through the sparse products
        self.weights = None if segments is None else segments.weights.to(maps).mT.unsqueeze(1).contiguous()
        self._local = threading.local()

    def scratch(self, coils: slice, owner: object) -> tuple[Tensor, Tensor]:
        """Two grids of this thread for a chunk of coils (and all segments); outside what `owner` writes, zero."""
        images = (coils.stop - coils.start) * (1 if self.phases is None else len(self.phases))
        held: dict[int, tuple[Tensor, Tensor, object]] = self._local.__dict__.setdefault("held", {})
        if images not in held:
            shape = (images, *self.grid.size)
            held[images] = self.maps.new_zeros(shape), self.maps.new_zeros(shape), owner
        image, spectrum, last = held[images]
        if last is not owner:  # another trajectory wrote to other points
            spectrum.zero_()
            held[images] = image, spectrum, owner
        return image, spectrum

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

    def _forward(self, x: Tensor) -> Tensor:
        checked_complex("DirectSenseGram", x)
        flat = x.reshape(-1, *self.in_shape).to(self.shared.maps.dtype)
        return torch.stack([self._one(image) for image in flat]).reshape(x.shape).to(x.dtype)

    _adjoint = _forward

    def _one(self, x: Tensor) -> Tensor:
        shared = self.shared
        image = x if shared.phases is None else shared.phases * x
        return self._gather(self._interpolate(image, coils) for coils in shared.chunks())

    def backproject(self, y: Tensor) -> Tensor:
        """``Aᴴ y`` of one frame, (coils, samples) to (*shape), on the same grid as the gram."""
        weights = self.shared.weights

        def columns() -> Iterator[tuple[slice, Tensor]]:
            for coils in self.shared.chunks():
                some = y[coils].to(self.shared.maps.dtype).mT.contiguous()
                if weights is not None:
                    some = (some.unsqueeze(-1) * weights.conj()).flatten(1)
                yield coils, torch.view_as_real(some).flatten(1)

        return self._gather(columns())

    def _interpolate(self, x: Tensor, coils: slice) -> tuple[slice, Tensor]:
        """Coil images of `x` at the samples, (samples, 2 · coils), and back into segments where there are any."""
        shared = self.shared
        maps = shared.scaled[coils]
        image = shared.scratch(coils, self)[0]
        window = image[(slice(None), *shared.grid.window)]
        if shared.phases is None:
            torch.mul(maps, x, out=window)
        else:
            torch.mul(maps.unsqueeze(1), x, out=window.unflatten(0, (len(maps), -1)))
        spectrum = torch.fft.fftn(image, dim=self._dims).flatten(1)
        # a complex number moves as one real of twice the size: gather has no fast path for complex
        rows = torch.gather(spectrum.view(self._wide), 1, self._places(len(spectrum))).mT.contiguous()
        samples = self.interpolation.forward @ rows.view(spectrum.real.dtype)
        if shared.weights is not None:
            y = torch.view_as_complex(samples.unflatten(1, (len(maps), -1, 2)))
            y = (y * shared.weights).sum(-1, keepdim=True) * shared.weights.conj()
            samples = torch.view_as_real(y).flatten(1)
        return coils, samples

    def _gather(self, columns: Iterator[tuple[slice, Tensor]]) -> Tensor:
        """The image of samples (samples, 2 · coils · segments), chunk by chunk of coils."""
        shared = self.shared
        shape = self.in_shape if shared.phases is None else shared.phases.shape
        total = shared.maps.new_zeros(shape)
        for coils, samples in columns:
            spectrum = shared.scratch(coils, self)[1]
            rows = (self.interpolation.adjoint @ samples).view(self._wide)
            spectrum.flatten(1).view(self._wide).scatter_(1, self._places(len(spectrum)), rows.mT)
            back = torch.fft.ifftn(spectrum, dim=self._dims, norm="forward")[(slice(None), *shared.grid.window)]
            conjugate = shared.conjugate[coils]
            if shared.phases is not None:
                conjugate, back = conjugate.unsqueeze(1), back.unflatten(0, (len(conjugate), -1))
            total += (back * conjugate).sum(0)
        return total if shared.phases is None else (total * shared.phases.conj()).sum(0)

    @property
    def _wide(self) -> torch.dtype:
        return torch.float64 if self.shared.maps.dtype == torch.complex64 else torch.complex128

    @property
    def _dims(self) -> tuple[int, ...]:
        return tuple(range(-len(self.in_shape), 0))

    def _places(self, images: int) -> Tensor:
        return self.interpolation.touched.expand(images, -1)


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
