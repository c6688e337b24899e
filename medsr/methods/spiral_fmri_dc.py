"""Spiral fMRI by a learned prior of relative changes between hard consistency layers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from medsr.acquisition.compress import compression_matrix
from medsr.acquisition.prewhiten import mix_coils
from medsr.acquisition.spiral import SpiralAcquisition
from medsr.consistency.batched import BatchedSeriesGram
from medsr.consistency.precondition import CirculantPreconditioner
from medsr.consistency.relative import (
    RelativeChanges,
    SeriesOperator,
    cosine_modes,
    cosine_series,
    parts,
    posterior,
)
from medsr.consistency.series import SeriesGram
from medsr.methods.base import Estimate, Progress
from medsr.methods.spiral_mean import blurred_away, deblurrable, load_deblur
from medsr.methods.stretches import Part, mean_of, part_of, stretches
from medsr.models.card import card
from medsr.models.tensors import read_tensors, shipped_weights
from medsr.networks.spiral_deblur import SpiralDeblur
from medsr.networks.spiral_prior import Axes, SpiralPrior, Variances

DAMPING = 1e-2
"""Regularisation of the mean image, as a share of the samples' density."""
FLOOR = 0.03
"""Least size of a voxel that changes are relative to, as a share of the mean image's 99th percentile."""
LEAST_NOISE = 1e-3
"""Over the root mean square of the samples, where the noise is not known."""
FEWER = 1e-3
"""Share of the coil maps' energy that the solves leave out: fewer coils, more steps in the same time."""


@dataclass(frozen=True)
class Layers:
    """Conjugate gradients in the first and in the second consistency layer; with none in the second the result is
    what the second prior makes of the gridded data alone."""

    first: int = 4
    second: int = 22


def spiral_fmri_dc(acquisition: SpiralAcquisition, progress: Progress) -> Estimate:
    """``x_t = m_t (1 + u_t)`` to first order: the mean image as frame t has it, and relative changes u that the
    samples tell of,

        min_u Σ_t ‖A_t (m_t + X u_t) - y_t‖² / σ² + ‖u‖²_C,

    C a covariance that a network makes: first of the mean image (`SpiralPrior.first`), then of what a solve
    under it found (`SpiralPrior.second`). Each solve is a hard consistency layer (`posterior`); the network
    proposes how much a mode may change and never by what, so a response that it has not seen the like of is
    not drawn towards those that it has.

    The unrolled form is that of Aggarwal, Mani and Jacob, IEEE Trans Med Imaging 38:394 (2019),
    doi:10.1109/TMI.2018.2865356; the covariance in place of an image, the frame that follows the head, and the
    response in the loss are ours. It stands for the paper's network (`medsr.methods.spiral_fmri`) with time
    frames shared and k-space consistent by construction.

    Last, what off-resonance has done to the mean image is taken off it (`medsr.methods.spiral_mean`): the same in
    every frame, so that no course in time is touched.

    Long runs are solved in overlapping stretches of at most 512 frames, so that memory beyond data and result is
    bounded.
    """
    network, layers = load_network()
    with torch.no_grad():
        return Estimate(in_stretches(acquisition, network, layers, progress, load_deblur()))


def in_stretches(
    a: SpiralAcquisition,
    network: SpiralPrior,
    layers: Layers,
    progress: Progress,
    deblur: SpiralDeblur | None = None,
) -> Tensor:
    """`unrolled` on one stretch of the run after another, (frames, *shape) complex; its mean image by `deblur`."""
    progress(0.0, "mean image")
    mean = mean_image(a, fewer_of)
    out = torch.zeros(a.frames, *a.shape, dtype=torch.complex64)
    for some, fade in stretches(a.frames):
        part = fewer_of(a, some)
        progress(0.1 + 0.8 * some.start / a.frames, "changes")
        x = a.within_reach(unrolled(begin(part, mean), network, layers))
        out[some] += x * fade.reshape(-1, *(1 for _ in a.shape))
    if deblur is not None and deblurrable(a):
        out += a.within_reach(blurred_away(mean, a.duration, deblur))
    return out


def fewer_coils(a: SpiralAcquisition) -> SpiralAcquisition:
    """The run in the principal mixtures of its coils; whitened noise stays white."""
    matrix = compression_matrix(a.maps, tail=FEWER, axis=0).to(a.maps.dtype)
    if len(matrix) == len(a.maps):
        return a
    kspace = torch.empty(a.frames, len(matrix), a.samples, dtype=a.kspace.dtype)
    for t in range(a.frames):  # one frame at a time: no copy of all coils
        torch.mm(matrix, a.kspace[t], out=kspace[t])
    return replace(a, kspace=kspace, maps=mix_coils(matrix, a.maps, 0).contiguous())


def fewer_of(a: SpiralAcquisition, some: slice) -> SpiralAcquisition:
    """Some frames in fewer coils: a copy of no more than these."""
    return fewer_coils(part_of(a, some))


@lru_cache(maxsize=1)
def load_network() -> tuple[SpiralPrior, Layers]:
    """The prior with the weights that medsr ships, checked against the card, and the layers of its training."""
    weights = card("spiral-fmri-dc").weights["any"]
    tensors, about = read_tensors(shipped_weights(weights.file), weights.sha256)
    network = SpiralPrior(**json.loads(about["network"]))
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False), Layers(**json.loads(about["layers"]))


@dataclass(frozen=True, eq=False)
class Start:
    """What is known of a run before its changes are.

    mean : the image of all frames, (*shape). expected : that image with each frame's movement and phase,
    (frames, *shape). residual : ``A_tᴴ (y_t - A_t expected_t)``. average : what an average frame's samples tell
    of a mode of relative change. size : what changes are relative to, complex. axes : of the modes.
    """

    gram: SeriesOperator
    mean: Tensor
    expected: Tensor
    residual: Tensor
    average: Tensor
    size: Tensor
    noise: float
    axes: Axes

    def to(self, device: str) -> Start:
        """The same on an accelerator, all frames at once."""
        system = self.gram.system
        tensors = {k: getattr(self, k).to(device) for k in ("mean", "expected", "residual", "average", "size")}
        moved = BatchedSeriesGram(system.trajectories, system.maps.to(device))
        return replace(self, gram=SeriesOperator(moved), axes=self.axes.to(device), **tensors)


def mean_image(a: SpiralAcquisition, part: Part = part_of) -> Tensor:
    """The image that explains all frames best, within the reach of the spirals, (*shape); `part`: `mean_of`."""
    return a.within_reach(mean_of(a, DAMPING, part))


def begin(a: SpiralAcquisition, mean: Tensor) -> Start:
    """Movement from the mean image, and what the two leave unexplained."""
    system = SeriesGram(a.trajectories, a.maps, segments=a.segments, workers=a.workers)
    b = system.backproject(a.kspace)
    expected, noise = followed(a, mean)
    gram = SeriesOperator(system)
    b -= gram.forward(expected)
    top = float(torch.quantile(mean.abs().flatten(), 0.99))
    size = torch.polar((mean.abs().square() + (FLOOR * top) ** 2).sqrt(), mean.angle())
    blurred = CirculantPreconditioner(a.maps).spectrum(a.trajectories.flatten(0, 1), 0.0) ** -2 / a.frames
    power = mean.abs().square()
    average = blurred * float(power.square().sum() / power.sum())  # of a voxel of the head, not of the air
    # a scan without noise: what is left unexplained, or a thousandth of the samples
    noise = a.noise or max(noise, LEAST_NOISE * float(a.kspace.abs().square().mean()) ** 0.5)
    axes = Axes.of(a.frames, a.tr or 1.0, a.shape, a.spacing)
    return Start(gram, mean, expected, b, average, size, noise, axes)


def followed(a: SpiralAcquisition, mean: Tensor) -> tuple[Tensor, float]:
    """The mean image as each frame has it, (frames, *shape): moved rigidly within the plane, its phase turned.

    Amplitude, phase and its growth over the readout, two shifts and a turn of each frame by least squares on its
    own samples, ``y_t ≈ A_t m (1 + α + iφ) + iψ τ A_t m + Σ_j θ_j A_t D_j m``, to first order; noise is taken
    out of the courses by shrinking their cosines. Amplitude and growth are fitted so that they do not pass for
    movement, and left to the changes. Also the root mean square misfit of a sample.
    """
    moved = rigid(mean)
    images = torch.cat([mean[None], moved])
    tau = torch.linspace(0.0, 1.0, a.samples)
    courses, spread, misfit = [], [], 0.0
    for t in range(a.frames):
        seen = a.frame(t)._forward(images)
        columns = torch.stack([seen[0], 1j * seen[0], 1j * tau * seen[0], *seen[1:]]).flatten(1)
        left = (a.kspace[t] - seen[0]).flatten()
        normal = (columns.conj() @ columns.T).real.double()
        right = (columns.conj() @ left).real.double()
        inverse = torch.linalg.inv(normal + 1e-9 * normal.diagonal().mean() * torch.eye(len(normal)))
        fitted = inverse @ right
        courses.append(fitted)
        spread.append(inverse.diagonal())
        misfit += float(left.abs().square().sum()) - float(right @ fitted)
    noise = (max(misfit, 0.0) / a.kspace.numel()) ** 0.5
    theta = torch.stack(courses).float()
    # half of the complex noise is in a real parameter
    variance = (torch.stack(spread).mean(0) * noise**2 / 2).float()
    modes = cosine_modes(theta.to(torch.complex64)).real
    modes = modes * (1 - variance / modes.square().clamp(min=1e-30)).clamp(min=0)
    theta = cosine_series(modes.to(torch.complex64))
    turned = (1 + 1j * theta[:, 1].real).reshape(-1, *(1 for _ in a.shape)) * mean
    return turned + torch.tensordot(theta[:, 3:], moved, 1), noise


def rigid(mean: Tensor) -> Tensor:
    """How an image's magnitude changes along x, along y (a voxel each) and under a turn, (3, *shape) complex.

    The phase belongs to the place and does not move with the object. The turn is such that it shifts a voxel
    at a quarter of the field of view by one.
    """
    phase = torch.polar(torch.ones_like(mean.abs()), mean.angle())
    nx, ny = mean.shape[:2]
    steps = []
    for axis, n in ((0, nx), (1, ny)):
        k = torch.fft.fftfreq(n) * 2 * torch.pi
        k[n // 2] = 0.0
        k = k.reshape([-1 if i == axis else 1 for i in range(mean.ndim)])
        steps.append(torch.fft.ifft(1j * k * torch.fft.fft(mean.abs().to(mean.dtype), dim=axis), dim=axis).real)
    x, y = (torch.arange(n, dtype=torch.float32) - n // 2 for n in (nx, ny))
    tail = [1] * (mean.ndim - 2)
    turn = (x.reshape(-1, 1, *tail) * steps[1] - y.reshape(1, -1, *tail) * steps[0]) / (nx / 4)
    return torch.stack([*steps, turn]) * phase


def unrolled(start: Start, network: SpiralPrior, layers: Layers) -> Tensor:
    """The series (frames, *shape) complex, differentiable in the network: prior, solve, prior, solve."""
    one = _changes(start, network.first(start.axes, start.mean))
    v = posterior(start.gram.forward, one, start.residual, start.noise, start.average, iterations=layers.first)
    snr = one.real.square() * start.average / start.noise**2
    two = _changes(start, network.second(start.axes, start.mean, v, one.over_voxels(v), snr))
    # the same changes in the new modes
    v = parts(v, one.real / two.real, one.imaginary / two.imaginary)
    v = posterior(
        start.gram.forward, two, start.residual, start.noise, start.average, iterations=layers.second, initial=v
    )
    return start.expected + two.forward(v)


def _changes(start: Start, prior: Variances) -> RelativeChanges:
    return RelativeChanges(start.size, prior.real, prior.imaginary, prior.weights)
