"""The sliding window: each frame from the readouts around it, as if nothing moved meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medsr.acquisition.spiral import SpiralAcquisition
from medsr.methods.base import Estimate, Progress
from medsr.methods.gridding import FRAMES, gridding


@dataclass(frozen=True)
class WindowSettings:
    """width : of the window, as a multiple of the frames that fill k-space."""

    width: float = 1.05


TUNED = WindowSettings()


def sliding_window(
    acquisition: SpiralAcquisition, progress: Progress, settings: WindowSettings = TUNED
) -> Estimate:
    """Gridding of the frames within half a window of frame t: their mean, since gridding is linear.

    At the ends of the run the window keeps its width and stops moving. Riederer et al., Magn Reson Med 8:1 (1988),
    doi:10.1002/mrm.1910080102.
    """
    x = gridding(acquisition, progress).data
    width = min(max(1, round(settings.width * acquisition.frames_to_fill)), len(x))
    first, before = 0, x[:0]  # `before`: the frames alone that the means of the next ones still need
    while first < len(x):
        last = min(first + max(FRAMES, width), len(x))
        near = torch.cat([before, x[first : last + width]])
        start = first - len(before)
        for t in range(first, last):
            at = _window(t, width, len(x)) - start
            torch.mean(near[at : at + width], 0, out=x[t])
        before = near[max(0, last - width - start) : last - start].clone()
        first = last
    return Estimate(x)


def moving_mean(x: Tensor, width: int) -> Tensor:
    """The mean of the `width` frames around each, (frames, ...); of the first or last `width` near the ends."""
    frames = len(x)
    width = min(width, frames)
    out = torch.empty_like(x)
    for t in range(frames):
        first = _window(t, width, frames)
        torch.mean(x[first : first + width], 0, out=out[t])
    return out


def _window(t: int, width: int, frames: int) -> int:
    """Where the window of frame t starts."""
    return min(max(0, t - width // 2), frames - width)
