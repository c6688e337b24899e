"""Spiral fMRI by a deep residual network on shared time frames: the paper's form."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from medsr.acquisition.spiral import SpiralAcquisition
from medsr.errors import UsageError
from medsr.methods.base import Estimate, Progress, no_progress
from medsr.methods.gridding import gridding
from medsr.methods.sliding_window import moving_mean
from medsr.models.card import card
from medsr.models.tensors import read_tensors, shipped_weights
from medsr.networks.spiral_resnet import SpiralResNet

GROUP = 16
"""Frames that pass the network at a time."""


def spiral_fmri(acquisition: SpiralAcquisition, progress: Progress) -> Estimate:
    """``x_t = s_t + N(g_t, ..., s_t)``: g_t the gridded frame alone, s_t that of all the frames that fill k-space.

    The network is that of `medsr.networks.spiral_resnet`. Its training saw ``‖A x - y‖²``; its result is not held
    to the samples.
    """
    return Estimate(through(acquisition, load_network(), progress))


def through(acquisition: SpiralAcquisition, network: SpiralResNet, progress: Progress) -> Tensor:
    """The series that `network` makes of a run, (frames, x, y) complex."""
    if len(acquisition.shape) != 2:
        raise UsageError("spiral-fmri works on slices", got="a slab", hint="choose --method kt")
    progress(0.0, "gridding")
    frames = SharedFrames.of(acquisition, network.spans)
    x, reach = frames.alone, max(frames.widths)  # a result takes the place of its frame once no window needs it
    waiting: deque[tuple[slice, Tensor]] = deque()
    with torch.no_grad():
        for first in range(0, acquisition.frames, GROUP):
            while waiting and waiting[0][0].stop + reach <= first:
                done, image = waiting.popleft()
                x[done] = image
            some = slice(first, min(first + GROUP, acquisition.frames))
            waiting.append((some, frames.image(network(frames.channels(some)))))
            progress(0.3 + 0.7 * some.stop / acquisition.frames, "network")
    for done, image in waiting:
        x[done] = image
    return x


@dataclass(frozen=True, eq=False)
class SharedFrames:
    """Gridded images of a run as the network takes them.

    alone : of each frame's own samples, (frames, x, y). widths : frames in each span, from 1 up. turn, size : of
    the mean image: its phase factor (x, y), taken out, and its 99th percentile, divided by.
    """

    alone: Tensor
    widths: tuple[int, ...]
    turn: Tensor
    size: float

    def to(self, device: str) -> SharedFrames:
        """The same on another device."""
        return SharedFrames(self.alone.to(device), self.widths, self.turn.to(device), self.size)

    @classmethod
    def of(cls, a: SpiralAcquisition, spans: int) -> SharedFrames:
        """`spans` of them; the widest fills k-space most evenly (see `fullest`), those between grow by equal
        factors."""
        alone = gridding(a, no_progress).data
        mean = alone.mean(0)
        turn = torch.polar(torch.ones_like(mean.real), mean.angle())
        size = float(torch.quantile(mean.abs().flatten(), 0.99)) or 1.0
        full = min(fullest(a), a.frames)
        widths = tuple(round(full ** (i / max(1, spans - 1))) for i in range(spans))
        return cls(alone, widths, turn, size)

    def channels(self, some: slice) -> Tensor:
        """Of some frames, (frames, 2 spans, x, y)."""
        first = max(0, some.start - max(self.widths))
        last = min(len(self.alone), some.stop + max(self.widths))
        near = self.alone[first:last] * (self.turn.conj() / self.size)
        parts = []
        for width in self.widths:
            shared = moving_mean(near, width)[some.start - first : some.stop - first]
            parts += [shared.real, shared.imag]
        return torch.stack(parts, 1)

    def image(self, output: Tensor) -> Tensor:
        """What the network's output (frames, 2, x, y) means: (frames, x, y) complex."""
        return torch.complex(output[:, 0], output[:, 1]) * (self.turn * self.size)


def fullest(a: SpiralAcquisition) -> int:
    """How many frames to share: about as many as fill k-space, those whose readouts lie most evenly.

    Of the counts n from that number to a tenth more (at least one), the one with the least ``n max gap`` between
    neighbouring turns: 20 in a cyclic order, 21 (a Fibonacci number) with golden angles.
    """
    fill = a.frames_to_fill
    last = a.trajectories[:, a.samples // a.readouts - 1, :2]
    turns = torch.atan2(last[:, 1], last[:, 0]).double() / (2 * torch.pi) % 1

    def unevenness(n: int) -> float:
        around = torch.sort(turns[:n]).values
        gaps = torch.diff(around, append=around[:1] + 1)
        return round(n * float(gaps.max()), 6)  # equal ones are equal

    return min(range(fill, max(fill + 2, round(1.1 * fill) + 1)), key=unevenness)


@lru_cache(maxsize=1)
def load_network() -> SpiralResNet:
    """The network with the weights that medsr ships, checked against the card."""
    weights = card("spiral-fmri").weights["any"]
    return made(*read_tensors(shipped_weights(weights.file), weights.sha256))


def made(tensors: dict[str, Tensor], about: dict[str, str]) -> SpiralResNet:
    """The network of a weights file's tensors and what it says about itself."""
    network = SpiralResNet(**json.loads(about["network"]))
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)
