"""CG-SENSE: every frame from its own samples by all coils."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from medsr.acquisition.spiral import SpiralAcquisition
from medsr.consistency.tikhonov import CHAIN, Tikhonov, tikhonov_sense
from medsr.methods.base import Estimate, Progress


@dataclass(frozen=True)
class SenseSettings:
    """damping : λ over the density of the frame's samples (their number over the voxels).
    tolerance : where a frame's solve stops.
    iterations : at most so many.
    """

    damping: float = 0.01
    tolerance: float = 1e-2
    iterations: int = 30


TUNED = SenseSettings()


def cg_sense(acquisition: SpiralAcquisition, progress: Progress, settings: SenseSettings = TUNED) -> Estimate:
    """``x_t = argmin ‖A_t x - y_t‖² + λ ‖x‖²``, solved by preconditioned conjugate gradients.

    Each frame starts from the one before it, in runs of 32 frames; being solved, it does not depend on that.
    Pruessmann et al., Magn Reson Med 46:638 (2001), doi:10.1002/mrm.1241. See `medsr.consistency.tikhonov`.
    """
    a, s = acquisition, settings
    how = Tikhonov(s.damping / a.undersampling, s.iterations, s.tolerance, warm=True)
    x = torch.empty(a.frames, *a.shape, dtype=torch.complex64)
    group = CHAIN * max(1, a.workers)
    for first in range(0, a.frames, group):
        some = slice(first, min(first + group, a.frames))
        solved = tikhonov_sense(
            a.kspace[some], a.trajectories[some], a.maps, how, segments=a.segments, workers=a.workers
        )
        x[some] = a.within_reach(solved.x)
        progress(some.stop / a.frames, "SENSE")
    return Estimate(x)
