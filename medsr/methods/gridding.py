"""Gridding: every frame from its own samples, weighted by density. A control."""

from __future__ import annotations

import torch

from medsr.acquisition.spiral import SpiralAcquisition
from medsr.methods.base import Estimate, Progress

FRAMES = 16
"""Gridded at a time."""


def gridding(acquisition: SpiralAcquisition, progress: Progress) -> Estimate:
    """``x_t = g Σ_c S_c^* F_tᴴ W y_t``, g the number of frames that fill k-space: aliased where one does not.

    Jackson et al., IEEE Trans Med Imaging 10:473 (1991), doi:10.1109/42.97598; coils combined as in Roemer et al.,
    Magn Reson Med 16:192 (1990), doi:10.1002/mrm.1910160203.
    """
    a = acquisition
    x = torch.empty(a.frames, *a.shape, dtype=torch.complex64)
    for first in range(0, a.frames, FRAMES):
        some = slice(first, min(first + FRAMES, a.frames))
        x[some] = a.gridded(a.kspace[some], some)
        progress(some.stop / a.frames, "gridding")
    return Estimate(x.mul_(a.frame_gain))
