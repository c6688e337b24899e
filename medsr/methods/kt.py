"""Mean plus deviations, solved over all frames at once with a cost that rises with temporal frequency."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import dct, idct
from torch import Tensor

from medsr.acquisition.spiral import SpiralAcquisition
from medsr.consistency.krylov import Stop, Watch, pcg
from medsr.consistency.precondition import CirculantPreconditioner
from medsr.consistency.series import SeriesGram
from medsr.methods.base import Estimate, Progress
from medsr.methods.stretches import mean_of, part_of, stretches


@dataclass(frozen=True)
class KtSettings:
    """change : what a voxel changes by, as a share of its signal, at low temporal frequencies (prior deviation).
    corner : temporal frequency in Hz above which changes become rarer.
    power : of the fall of their variance beyond the corner.
    smooth : spatial frequency, in cycles per field of view, below which changes may be quicker: the corner is
        raised by ``1 + smooth / κ``.
    detail : spatial frequency beyond which changes become rarer.
    floor : least prior signal of a voxel, as a share of the image's 99th percentile.
    static : regularisation of the mean image, as a share of the samples' density.
    iterations : of the joint solve.
    """

    change: float = 0.3
    corner: float = 0.05
    power: float = 4.0
    smooth: float = 4.0
    detail: float = 10.0
    floor: float = 0.1
    static: float = 0.05
    iterations: int = 15


TUNED = KtSettings()


def kt(acquisition: SpiralAcquisition, progress: Progress, settings: KtSettings = TUNED) -> Estimate:
    """``x_t = m + d_t``: the image m that explains all frames best, then

        min_u Σ_t ‖A_t d_t - (y_t - A_t m)‖² + σ² Σ_f,κ |û(f, κ)|² / s(f, κ)²,   d_t = e u_t,

    e(r) the size of m (smoothed, with a floor), so that u is a relative change; û its cosine transform over time
    and Fourier transform over space; ``s² = c² / ((1 + (f/f_c(κ))^p) (1 + (κ/κ_c)²))``,
    ``f_c(κ) = f_c (1 + κ_0/κ)``: the posterior mean where relative changes are Gaussian of deviation s, rarer
    where they are quick or fine, and allowed to be quicker where they are wide, as breathing is. Solved by
    conjugate gradients over all frames at once (at most 512 of them: `medsr.methods.stretches`), preconditioned by
    the average frame in space and time.

    The cost in temporal frequency goes back to UNFOLD and k-t BLAST: Tsao, Boesiger and Pruessmann, Magn Reson
    Med 50:1031 (2003), doi:10.1002/mrm.10611; the relative scale, the cosines, the form of s, the noise as
    its weight and the preconditioner are ours.
    """
    a = acquisition
    progress(0.0, "mean image")
    mean = mean_of(a, settings.static)
    out = torch.zeros(a.frames, *a.shape, dtype=a.maps.dtype)
    for some, fade in stretches(a.frames):

        def watch(step: int, _: Tensor, first: int = some.start, length: int = len(fade)) -> None:
            progress(min(1.0, 0.1 + 0.9 * (first + length * step / settings.iterations) / a.frames), "deviations")

        x = _deviations(part_of(a, some), mean, settings, watch).add_(mean)
        out[some] += a.within_reach(x) * fade.reshape(-1, *(1 for _ in a.shape))
    return Estimate(out)


def _deviations(a: SpiralAcquisition, mean: Tensor, s: KtSettings, watch: Watch) -> Tensor:
    system = SeriesGram(a.trajectories, a.maps, segments=a.segments, workers=a.workers)
    b = system.backproject(a.kspace)
    b -= system.gram(mean.expand(a.frames, *a.shape))
    noise = a.noise or _misfit(a, mean)
    size = envelope(mean, s.floor)
    cost = noise**2 / deviation(a.frames, a.tr, a.shape, s).square()
    circulant = CirculantPreconditioner(a.maps)
    average = circulant.spectrum(a.trajectories.flatten(0, 1), 0.0) ** -2 / a.frames
    typical = float(size.square().mean())
    inverse = 1 / (average * typical + cost)

    def normal(u: Tensor) -> Tensor:
        return system.gram(u * size).mul_(size).add_(in_modes(u, cost))

    def precondition(r: Tensor) -> Tensor:
        return in_modes(r, inverse)

    u, _, _ = pcg(normal, b.mul_(size), 0.0, Stop(s.iterations, 1e-4), precondition=precondition, watch=watch)
    return u.mul_(size)


def deviation(frames: int, tr: float | None, shape: tuple[int, ...], settings: KtSettings) -> Tensor:
    """``s(f, κ)``, (frames, *shape) float32, κ in the FFT's order; without a TR frames are taken as 1 s apart."""
    f = torch.arange(frames, dtype=torch.float32) / (2 * frames * (tr or 1.0))
    along = torch.meshgrid(*(torch.fft.fftfreq(n, 1 / n) for n in shape), indexing="ij")
    k = torch.stack(along).square().sum(0).sqrt()
    corner = settings.corner * (1 + settings.smooth / k.clamp(min=1))
    ratio = f.reshape(-1, *(1 for _ in shape)) / corner
    fall = (1 + ratio**settings.power) * (1 + (k / settings.detail) ** 2)
    return settings.change / fall.sqrt()


def envelope(mean: Tensor, floor: float) -> Tensor:
    """Signal of each voxel: ``|m|`` averaged over 3 voxels an axis, at least `floor` of its 99th percentile."""
    from scipy.ndimage import uniform_filter

    size = uniform_filter(mean.abs().numpy(), 3, mode="nearest")
    return torch.from_numpy(np.maximum(size, floor * float(np.percentile(size, 99))))


def cosines(x: Tensor, back: bool = False) -> Tensor:
    """Orthonormal cosine transform over time (the first axis) of a complex series, or its inverse."""
    real = torch.view_as_real(x.contiguous()).numpy()
    return torch.view_as_complex(torch.from_numpy((idct if back else dct)(real, axis=0, norm="ortho")))


def in_modes(x: Tensor, weights: Tensor) -> Tensor:
    """``Mᴴ diag(weights) M x``, M the cosine transform over time and the Fourier transform over space."""
    dims = tuple(range(1, x.ndim))
    modes = torch.fft.fftn(cosines(x), dim=dims).mul_(weights)
    return cosines(torch.fft.ifftn(modes, dim=dims), back=True)


def _misfit(a: SpiralAcquisition, mean: Tensor) -> float:
    """What the mean image leaves of a sample: at least the noise."""
    some = [a.kspace[t] - a.frame(t).forward(mean) for t in range(0, a.frames, max(1, a.frames // 16))]
    return math.sqrt(float(torch.stack(some).abs().square().mean()))
