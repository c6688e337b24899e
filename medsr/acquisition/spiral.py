"""A run of spiral k-space, ready to be reconstructed slice by slice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsr.acquisition.density import spiral_density
from medsr.acquisition.groups import groups
from medsr.errors import InputError
from medsr.operators.nufft import NUFFT
from medsr.operators.offresonance import TimeSegments
from medsr.operators.sense import Frames, Sense, sense_frames

EPS = 1e-4
"""Relative accuracy of the Fourier transforms of a reconstruction: well below the noise of any scan."""


@dataclass(frozen=True, eq=False)
class SpiralAcquisition:
    """One slice (or a slab) of a run: ``y_t = A_t x_t + n``, ``A_t = F_t B S``.

    kspace : (frames, coils, samples) complex64; the noise is white, the phases of the frames are taken out.
    trajectories : (frames, samples, dims) float64, cycles per field of view.
    weights : (frames, samples) float32, the cells of k-space that each sample stands for where a full set of
        readouts shares it; `frame_gain` times as many where a frame stands alone.
    maps : (coils, *shape) complex64, root sum of squares 1 in the channels as they were received.
    noise : standard deviation σ of a sample's noise, ``E|n|² = σ²``; 0 where it is not known.
    copies : how many readouts fill k-space (in a slab, those of all partitions).
    readouts : of a frame.
    tr : time from frame to frame in s; None where unknown.
    spacing : of the voxels along each axis of a frame, mm.
    duration : of a frame's sampling, from its first sample after an excitation to its last, s; 0 where unknown.
    segments : off-resonance during the readout; None where it is not known.
    workers : threads to work in; the result does not depend on it.
    """

    kspace: Tensor
    trajectories: Tensor
    weights: Tensor
    maps: Tensor
    noise: float
    copies: int
    readouts: int = 1
    tr: float | None = None
    spacing: tuple[float, ...] = (2.0, 2.0, 2.0)
    duration: float = 0.0
    segments: TimeSegments | None = None
    workers: int = 1

    @property
    def frames(self) -> int:
        return int(self.kspace.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one frame's image."""
        return tuple(self.maps.shape[1:])

    @property
    def samples(self) -> int:
        """Samples of a frame (of one coil)."""
        return int(self.kspace.shape[-1])

    @property
    def frame_gain(self) -> float:
        """What the weights must be multiplied by where a frame stands alone."""
        return float(self.copies) / self.readouts

    @property
    def frames_to_fill(self) -> int:
        """Number of frames whose readouts fill k-space."""
        return max(1, round(self.frame_gain))

    @property
    def undersampling(self) -> float:
        """Voxels over samples: what ``AᴴA`` must be multiplied by to be 1 on average."""
        return math.prod(self.shape) / self.samples

    def operator(self, frames: slice = slice(None)) -> Frames:
        """``A`` of some frames, (frames, *shape) to (frames, coils, samples)."""
        return sense_frames(
            self.trajectories[frames], self.maps, segments=self.segments, eps=EPS, workers=self.workers
        )

    def frame(self, t: int) -> Sense:
        """``A_t``."""
        return Sense(self.trajectories[t], self.maps, segments=self.segments, eps=EPS)

    def gridded(self, y: Tensor, frames: slice = slice(None)) -> Tensor:
        """``(Σ_c |S_c|²)⁻¹ Sᴴ Fᴴ W y`` of samples y of some frames, (frames, *shape): gridding, coils combined.

        A frame's share of an image that a full set of frames makes together: their sum has the right scale.
        """
        power = self.maps.abs().square().sum(0)
        inverse = torch.where(power > 0, 1 / power.clamp(min=1e-6), torch.zeros_like(power))
        return self.operator(frames).adjoint(y * self.weights[frames].unsqueeze(1)) * inverse

    def within_reach(self, x: Tensor) -> Tensor:
        """`x` (..., *shape) without what lies beyond the radius of k-space that the spirals reach: no sample tells
        of the corners."""
        nx, ny = self.shape[:2]
        k = torch.hypot(torch.fft.fftfreq(nx)[:, None] * nx, torch.fft.fftfreq(ny) * ny)
        keep = (k <= self._radius + 0.1).reshape(nx, ny, *(1 for _ in self.shape[2:]))
        dims = tuple(range(-len(self.shape), -len(self.shape) + 2))
        return torch.fft.ifftn(torch.fft.fftn(x, dim=dims).mul_(keep), dim=dims)

    @cached_property
    def _radius(self) -> float:
        """Of k-space, that the spirals reach."""
        return max(float(k[:, :2].square().sum(-1).max()) for k in self.trajectories) ** 0.5

    def residual(self, x: Tensor, frames: slice = slice(None)) -> Tensor:
        """``y - A x`` of some frames."""
        return self.kspace[frames] - self.operator(frames).forward(x)


def readouts_to_fill(readout: NDArray[np.floating]) -> int:
    """How many turned copies of one spiral fill k-space at its edge, from the distance between its turns.

    The distance ``2π dr/dθ`` is 1 over the number of copies where k-space is sampled just densely enough; its
    inverse, the density, is fitted by a line over the outer half of the radius and taken at the end.

    Parameters
    ----------
    readout : (samples, 2), cycles per field of view, from the centre outwards.

    Raises
    ------
    InputError
        if it is no spiral from the centre outwards.
    """
    radius, angle = np.hypot(*readout.T), np.unwrap(np.arctan2(readout[:, 1], readout[:, 0]))
    outer = np.flatnonzero(radius > 0.5 * radius.max())
    if len(outer) < 8 or outer[0] == 0:
        raise InputError("the readouts are no spirals", rule="each runs from the centre of k-space outwards")
    turned = np.abs(np.gradient(angle)[outer]) / (2 * math.pi)
    grown = np.gradient(radius)[outer]
    if not (grown.mean() > 0 and turned.mean() > 0):
        raise InputError("the readouts are no spirals", rule="each runs from the centre of k-space outwards")
    # turns per cycle, fitted with the weight of the way that the radius makes
    fit = np.polynomial.Polynomial.fit(radius[outer], turned / np.maximum(grown, 0.05 * grown.mean()), 1)
    per_cycle = float(fit(radius.max()))
    return max(1, round(1 / per_cycle)) if per_cycle > 0 else 1


def density_of(trajectory: NDArray[np.floating], readouts: int, copies: int) -> NDArray[np.float32]:
    """Weights (frames, samples) float32 of frames of `readouts` spirals, `copies` of which fill k-space.

    trajectory : (frames, samples, dims); in a slab each readout is a spiral of one partition.
    """
    frames, samples, _ = trajectory.shape
    weights = np.empty((frames, samples), dtype=np.float32)
    for some in groups(frames, 8 * samples):
        leaves = torch.as_tensor(trajectory[some, :, :2].reshape(-1, readouts, samples // readouts, 2))
        weights[some] = spiral_density(leaves, copies).reshape(-1, samples).numpy()
    return weights


def composite(
    kspace: NDArray[np.complex64],
    trajectory: NDArray[np.floating],
    weights: NDArray[np.floating],
    shape: tuple[int, ...],
) -> Tensor:
    """Coil images (coils, *shape) complex64 of all frames together, by gridding.

    kspace : (frames, coils, samples); trajectory : (frames, samples, dims); weights : (frames, samples), of the
    cells that each sample stands for among all of them.
    """
    points = torch.as_tensor(trajectory.reshape(-1, trajectory.shape[-1]), dtype=torch.float64)
    nufft = NUFFT(points, shape, eps=EPS)
    images = []
    for c in range(kspace.shape[1]):  # one coil at a time: memory stays at one coil's samples
        images.append(nufft.adjoint(torch.as_tensor(kspace[:, c] * weights, dtype=torch.complex64).flatten()))
    return torch.stack(images)
