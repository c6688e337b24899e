"""Long runs in overlapping stretches, so that memory beyond data and result is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from medsr.acquisition.spiral import SpiralAcquisition
from medsr.consistency.series import SeriesGram, static_image

Part = Callable[[SpiralAcquisition, slice], SpiralAcquisition]

LONGEST, OVERLAP = 512, 64
"""Frames solved together at most, and shared with the stretch before, over which one fades into the other."""


def stretches(frames: int) -> Iterator[tuple[slice, Tensor]]:
    """Overlapping stretches of a run and their weights over its frames, which add up to 1 everywhere."""
    count = max(1, -(-(frames - OVERLAP) // (LONGEST - OVERLAP)))
    length = -(-(frames + (count - 1) * OVERLAP) // count)
    for i in range(count):
        first = min(i * (length - OVERLAP), frames - length) if count > 1 else 0
        before = first if i == 0 else min((i - 1) * (length - OVERLAP), frames - length) + length
        last = first + length
        after = last if i == count - 1 else min((i + 1) * (length - OVERLAP), frames - length)
        t = torch.arange(first, last, dtype=torch.float32) + 0.5
        fade = torch.ones(length)
        if before > first:
            fade = fade * ((t - first) / (before - first)).clamp(max=1)
        if after < last:
            fade = fade * ((last - t) / (last - after)).clamp(max=1)
        yield slice(first, last), fade


def part_of(a: SpiralAcquisition, some: slice) -> SpiralAcquisition:
    """Some frames of a run."""
    return replace(a, kspace=a.kspace[some], trajectories=a.trajectories[some], weights=a.weights[some])


def mean_of(a: SpiralAcquisition, static: float, part: Part = part_of) -> Tensor:
    """The image that explains all frames best, (*shape), regularised by `static` of the samples' density; `part`
    takes some frames of the run, in fewer coils perhaps."""
    total = torch.zeros_like(a.maps[0])
    for first in range(0, a.frames, LONGEST):
        some = part(a, slice(first, first + LONGEST))
        system = SeriesGram(some.trajectories, some.maps, segments=a.segments, workers=a.workers)
        total += system.backproject(some.kspace).sum(0)
    damping = static * a.frames / a.undersampling
    return static_image(total, a.trajectories, some.maps, damping=damping, segments=a.segments)
