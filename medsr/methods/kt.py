"""Mean plus deviations, solved over all frames at once with a cost that rises with temporal frequency."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import dct, idct
from torch import Tensor

from medsr.acquisition.spiral import SpiralAcquisition
from medsr.consistency.krylov import Stop, pcg
from medsr.consistency.precondition import CirculantPreconditioner
from medsr.consistency.series import SeriesGram, static_image
from medsr.methods.base import Estimate, Progress


@dataclass(frozen=True)
class KtSettings:
    """change : what a voxel changes by, as a share of its signal, at low temporal frequencies (prior deviation).
    corner : temporal frequency in Hz above which changes become rarer.
    power : of the fall of their variance beyond the corner.
    floor : least prior signal of a voxel, as a share of the image's 99th percentile.
    static : regularisation of the mean image, as a share of the samples' density.
    iterations : of the joint solve.
    """

    change: float = 0.3
    corner: float = 0.03
    power: float = 4.0
    floor: float = 0.1
    static: float = 1e-3
    iterations: int = 15


TUNED = KtSettings()


def kt(acquisition: SpiralAcquisition, progress: Progress, settings: KtSettings = TUNED) -> Estimate:
    """``x_t = m + d_t``: the image m that explains all frames best, then

        min_d Σ_t ‖A_t d_t - (y_t - A_t m)‖² + σ² Σ_f ‖d̂_f / (s(f) e)‖²,

    d̂ the cosine transform of d over time, e(r) the size of m (smoothed, with a floor), ``s(f)² = c² / (1 +
    (f/f_c)^p)``: the posterior mean where relative changes of a voxel are Gaussian of deviation s(f). Solved by
    conjugate gradients over all frames at once, preconditioned by the average frame in space and time.

    The cost in temporal frequency goes back to UNFOLD and k-t BLAST: Tsao, Boesiger and Pruessmann, Magn Reson
    Med 50:1031 (2003), doi:10.1002/mrm.10611; the relative scale, the cosines, the noise as its weight and the
    preconditioner are ours.
    """
    a, s = acquisition, settings
    progress(0.0, "mean image")
    density = a.frames / a.undersampling
    system = SeriesGram(a.trajectories, a.maps, segments=a.segments, workers=a.workers)
    b = system.backproject(a.kspace)
    mean = static_image(b.sum(0), a.trajectories, a.maps, damping=s.static * density, segments=a.segments)
    b -= system.gram(mean.expand(a.frames, *a.shape))
    noise = a.noise or _misfit(a, mean)
    size = envelope(mean, s.floor)
    cost = noise**2 / deviation(a.frames, a.tr, s) ** 2
    cost_ = cost.reshape(-1, *(1 for _ in a.shape))

    circulant = CirculantPreconditioner(a.maps)
    average = circulant.spectrum(a.trajectories.flatten(0, 1), 0.0) ** -2 / a.frames
    typical = float(size.square().mean())
    inverse = 1 / (average * typical + cost_)
    dims = tuple(range(1, len(a.shape) + 1))

    def normal(u: Tensor) -> Tensor:
        return system.gram(u * size).mul_(size).add_(over_time(u, cost_))

    def precondition(r: Tensor) -> Tensor:
        modes = torch.fft.fftn(cosines(r), dim=dims).mul_(inverse)
        return cosines(torch.fft.ifftn(modes, dim=dims), back=True)

    def watch(step: int, _: Tensor) -> None:
        progress(0.1 + 0.9 * step / s.iterations, "deviations")

    u, _, _ = pcg(normal, b.mul_(size), 0.0, Stop(s.iterations, 1e-4), precondition=precondition, watch=watch)
    return Estimate(u.mul_(size).add_(mean))


def deviation(frames: int, tr: float | None, settings: KtSettings) -> Tensor:
    """``s(f)`` of the cosines over `frames`, (frames,) float32; without a TR frames are taken as 1 s apart."""
    f = torch.arange(frames, dtype=torch.float64) / (2 * frames * (tr or 1.0))
    fall = 1 + (f / settings.corner) ** settings.power
    return (settings.change / fall.sqrt()).to(torch.float32)


def envelope(mean: Tensor, floor: float) -> Tensor:
    """Signal of each voxel: ``|m|`` averaged over 3 voxels an axis, at least `floor` of its 99th percentile."""
    from scipy.ndimage import uniform_filter

    size = uniform_filter(mean.abs().numpy(), 3, mode="nearest")
    return torch.from_numpy(np.maximum(size, floor * float(np.percentile(size, 99))))


def cosines(x: Tensor, back: bool = False) -> Tensor:
    """Orthonormal cosine transform over time (the first axis) of a complex series, or its inverse."""
    real = torch.view_as_real(x.contiguous()).numpy()
    return torch.view_as_complex(torch.from_numpy((idct if back else dct)(real, axis=0, norm="ortho")))


def over_time(x: Tensor, weights: Tensor) -> Tensor:
    """``Cᴴ diag(weights) C x``, C the cosine transform over time."""
    return cosines(cosines(x).mul_(weights), back=True)


def _misfit(a: SpiralAcquisition, mean: Tensor) -> float:
    """What the mean image leaves of a sample: at least the noise."""
    some = [a.kspace[t] - a.frame(t).forward(mean) for t in range(0, a.frames, max(1, a.frames // 16))]
    return math.sqrt(float(torch.stack(some).abs().square().mean()))
