"""``AᴴA`` of a SENSE operator, written for speed: by gridding and back, or by Toeplitz embedding."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from copy import copy

import torch
from torch import Tensor

from medsr.operators.base import LinearOperator
from medsr.operators.gridding import Grid, Interpolation, cheapest_oversampling
from medsr.operators.kspace import checked_complex, checked_trajectory
from medsr.operators.nufft import Backend
from medsr.operators.offresonance import TimeSegments
from medsr.operators.toeplitz import convolve, embedding, toeplitz_spectrum

CHUNK = 16
"""Coil images (times segments) in one sparse product: its weights are read once for all of them."""

POINTS = 2**17
"""Samples (times pairs of segments) that a convolution's kernel is made of at a time."""

CACHE = 2**20
"""Bytes of the grids in one FFT call: these stay in a core's own cache from the FFT to the product after it."""


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

    def scratch(self, coils: slice, owner: DirectSenseGram) -> Scratch:
        """Work space of this thread for a chunk of coils (and all segments)."""
        images = (coils.stop - coils.start) * (1 if self.phases is None else len(self.phases))
        held: dict[int, Scratch] = self._local.__dict__.setdefault("held", {})
        if images not in held:
            held[images] = Scratch(images, self.grid, self.maps)
        held[images].lend(owner)
        return held[images]

    def chunks(self) -> Iterator[slice]:
        """Runs of coils, of nearly equal size."""
        coils = len(self.maps)
        per_coil = 1 if self.phases is None else len(self.phases)
        number = -(-coils * per_coil // max(CHUNK, per_coil))
        for i in range(number):
            yield slice(i * coils // number, (i + 1) * coils // number)


class Scratch:
    """Work space for `images` grids, made once: fresh pages cost as much as the FFTs that fill them.

    The grids themselves exist for a `group` of images at a time.
    """

    def __init__(self, images: int, grid: Grid, like: Tensor) -> None:
        # a complex number moves as one real of twice the size: gather has no fast path for complex64
        self.wide = torch.float64 if like.dtype == torch.complex64 else torch.complex128
        points = math.prod(grid.size)
        self.images, self.grid = images, grid
        most = max(1, CACHE // (points * like.element_size()))
        self.group = -(-images // -(-images // most))  # groups of nearly equal size
        # both stay zero outside what is written
        self.image = like.new_zeros(self.group, *grid.size)
        self.spectrum = like.new_zeros(self.group, *grid.size)
        self.window = self.image[(slice(None), *grid.window)]
        self.product = like.new_zeros(self.group, *grid.shape)
        self._flat = like.new_zeros(2, images * points).view(self.wide)
        self._owner: object = None

    def lend(self, owner: DirectSenseGram) -> None:
        """Make it ready for a gram; another one wrote to other points of the spectrum."""
        if owner is not self._owner:
            self.spectrum.zero_()
            self._owner = owner
            points = len(owner.interpolation.touched)
            by_image, by_point = self._flat[:, : self.images * points]
            self.by_image, self.by_point = by_image.view(self.images, points), by_point.view(points, self.images)
            self.places = owner.interpolation.touched.expand(self.group, -1)

    def groups(self) -> Iterator[slice]:
        for first in range(0, self.images, self.group):
            yield slice(first, min(first + self.group, self.images))


class DirectSenseGram(LinearOperator):
    """``Σ_c S_cᴴ Fᴴ F S_c`` (with time segments, ``Σ_c S_cᴴ A_cᴴ A_c S_c``) through the samples.

    The spectrum of each coil image is interpolated at the samples and spread back at once. Coils stand side
    by side in one sparse product, so that the weights are read once for all; only grid points that a sample
    sees take part; scaling and apodisation ride on the coil maps.

    Its own work, measured against FINUFFT and the FFT alone by `pipelines/benchmarks/sense.py`.
    """

    def __init__(self, trajectory: Tensor, shared: SharedMaps, interpolation: Interpolation | None = None) -> None:
        self.in_shape = self.out_shape = shared.shape
        self.trajectory, self.shared = trajectory, shared
        if interpolation is None:
            k = checked_trajectory(trajectory, shared.shape).to(shared.maps.device)
            interpolation = shared.grid.matrices(k, shared.maps.real.dtype)
        self.interpolation = interpolation

    def with_maps(self, shared: SharedMaps) -> DirectSenseGram:
        """The same trajectory seen by other coils on the same grid."""
        return DirectSenseGram(self.trajectory, shared, self.interpolation)

    def _forward(self, x: Tensor) -> Tensor:
        checked_complex("DirectSenseGram", x)
        if x.ndim == len(self.in_shape) and x.dtype == self.shared.maps.dtype:
            return self._one(x)
        flat = x.reshape(-1, *self.in_shape).to(self.shared.maps.dtype)
        return torch.stack([self._one(image) for image in flat]).reshape(x.shape).to(x.dtype)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)

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
        scratch = shared.scratch(coils, self)
        maps = shared.scaled[coils]
        for some in scratch.groups():
            count = some.stop - some.start
            self._multiply(maps, x, some, scratch.window[:count])
            spectrum = torch.fft.fftn(scratch.image[:count], dim=self._dims).flatten(1).view(scratch.wide)
            torch.gather(spectrum, 1, scratch.places[:count], out=scratch.by_image[some])
        columns = scratch.by_point.copy_(scratch.by_image.mT).view(maps.real.dtype)
        samples = self.interpolation.forward @ columns
        if shared.weights is not None:
            y = torch.view_as_complex(samples.unflatten(1, (len(maps), -1, 2)))
            y = (y * shared.weights).sum(-1, keepdim=True) * shared.weights.conj()
            samples = torch.view_as_real(y).flatten(1)
        return coils, samples

    def _multiply(self, maps: Tensor, x: Tensor, some: slice, out: Tensor) -> None:
        """Image i is of coil i, or with segments of coil ``i // segments`` and segment ``i % segments``."""
        if self.shared.phases is None:
            torch.mul(maps[some], x, out=out)
            return
        segments = len(self.shared.phases)
        for i in range(some.start, some.stop):
            torch.mul(maps[i // segments], x[i % segments], out=out[i - some.start])

    def _gather(self, columns: Iterator[tuple[slice, Tensor]]) -> Tensor:
        """The image of samples (samples, 2 · coils · segments), chunk by chunk of coils."""
        shared = self.shared
        total = shared.maps.new_zeros(self.in_shape if shared.phases is None else shared.phases.shape)
        for coils, samples in columns:
            scratch = shared.scratch(coils, self)
            conjugate = shared.conjugate[coils]
            rows = scratch.by_point.view(samples.dtype)
            torch.addmm(rows, self.interpolation.adjoint, samples, beta=0, out=rows)
            scratch.by_image.copy_(scratch.by_point.mT)
            for some in scratch.groups():
                count = some.stop - some.start
                spectrum = scratch.spectrum[:count]
                spectrum.flatten(1).view(scratch.wide).scatter_(1, scratch.places[:count], scratch.by_image[some])
                image = torch.fft.ifftn(spectrum, dim=self._dims, norm="forward")
                self._accumulate(image[(slice(None), *shared.grid.window)], conjugate, some, total, scratch)
        return total if shared.phases is None else (total * shared.phases.conj()).sum(0)

    def _accumulate(self, image: Tensor, conjugate: Tensor, some: slice, total: Tensor, scratch: Scratch) -> None:
        if self.shared.phases is None:
            total += torch.mul(image, conjugate[some], out=scratch.product[: len(image)]).sum(0)
            return
        segments = len(self.shared.phases)
        for i in range(some.start, some.stop):
            total[i % segments].addcmul_(image[i - some.start], conjugate[i // segments])

    @property
    def _dims(self) -> tuple[int, ...]:
        return tuple(range(-len(self.in_shape), 0))


class ToeplitzSenseGram(LinearOperator):
    """``Σ_c S_cᴴ (Fᴴ F) S_c`` with ``Fᴴ F`` a convolution (see `medsr.operators.toeplitz.ToeplitzGram`).

    With time segments it is ``Σ_c S_cᴴ Σ_ll' diag(e_l)ᴴ T_ll' diag(e_l') S_c`` where ``T_ll'`` is weighted by
    ``conj(b_l) b_l'``: a matrix of kernels, one FFT a segment each way.

    trajectory : (samples, dims), or (frames, samples, dims) for the sum of the frames' grams: one convolution,
        whose kernel is added up over groups of frames, so that memory does not grow with them.
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
            weights = torch.ones(k.shape[-2], dtype=torch.complex128, device=maps.device)
        else:
            b = segments.weights.to(maps.device)
            weights = b.conj().unsqueeze(1) * b.unsqueeze(0)
        spectrum = None
        for some in k.reshape(-1, *k.shape[-2:]).split(self._at_once(weights)):
            repeated = weights.repeat(*(1 for _ in weights.shape[:-1]), len(some))
            part = toeplitz_spectrum(some.flatten(0, 1), self.in_shape, repeated, eps=eps, backend=backend)
            spectrum = part if spectrum is None else spectrum.add_(part)
        assert spectrum is not None
        self.spectrum = spectrum.real.to(maps.real.dtype) if segments is None else spectrum.to(maps.dtype)

    def _at_once(self, weights: Tensor) -> int:
        """Frames whose kernel is made at a time: fewer points than the grid's would cost no less."""
        points = max(math.prod(embedding(self.in_shape)), POINTS)
        return max(1, points // weights.numel())

    def _forward(self, x: Tensor) -> Tensor:
        checked_complex("ToeplitzSenseGram", x)
        flat = x.reshape(-1, *self.in_shape).to(self.maps.dtype)
        return torch.stack([self._one(image) for image in flat]).reshape(x.shape).to(x.dtype)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)

    def with_maps(self, maps: Tensor) -> ToeplitzSenseGram:
        """The same trajectory seen by other coils."""
        other = copy(self)
        other.maps = maps
        return other

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
