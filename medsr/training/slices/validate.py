"""Selection: what a network gains over `spline` on subjects that it does not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medsr.networks.base import SliceNetwork
from medsr.training.scores import gmsd
from medsr.training.slices.acquire import PlaneAcquisition, plane_acquisition
from medsr.training.slices.recipe import SliceRecipe
from medsr.training.slices.volumes import TrainingVolume

IMAGES = 3
"""Of each selection volume and plane."""
MOST = 160
"""Fine pixels along the sides of a selection image, at most."""
FOREGROUND = 0.05
"""Of the 99.5th percentile: pixels that count."""


@dataclass(frozen=True, eq=False)
class Trial:
    """An image and its scan without noise, under the recipe's first profile.

    truth (1, 1, H, W), low (1, slices, H / sh, W / sw), spline (1, 1, H, W).
    """

    volume: str
    truth: Tensor
    low: Tensor
    spline: Tensor
    acquisition: PlaneAcquisition


def trials(
    volumes: Sequence[TrainingVolume], recipe: SliceRecipe, slices: int, device: str = "cpu"
) -> list[Trial]:
    """Images spread over the middle half of each volume, the same ones each time; `slices` go into the network."""
    found = []
    for volume in volumes:
        for plane in volume.planes:
            image = volume.data.transpose(3 - sum(plane), *plane)
            size = [min(MOST, n) // s * s for n, s in zip(image.shape[1:], recipe.scale, strict=True)]
            if min(size) < 4 * max(recipe.scale):
                continue
            top, left = ((n - s) // 2 for n, s in zip(image.shape[1:], size, strict=True))
            kind, factor, _ = recipe.profiles[0]
            acquisition = plane_acquisition((size[0], size[1]), recipe.scale, kind, factor)
            depth = image.shape[0]
            for at in np.linspace(depth * 0.3, depth * 0.7, IMAGES).astype(int):
                taken = np.clip(at + np.arange(slices) - slices // 2, 0, depth - 1)
                cut = image[taken][:, top : top + size[0], left : left + size[1]].astype(np.float32)
                high = torch.from_numpy(np.ascontiguousarray(cut))[None].to(device)
                middle = high[:, slices // 2 : slices // 2 + 1]
                low = acquisition.measure(high)
                spline = acquisition.spline(acquisition.measure(middle))
                found.append(Trial(volume.name, middle, low, spline, acquisition))
    return found


@torch.no_grad()
def validate(network: SliceNetwork, judged: Sequence[Trial]) -> dict[str, float]:
    """Mean gain over `spline`, and of each volume: PSNR (dB) of foreground pixels, projection included; and the
    mean of GMSD, of which less is better, of both."""
    network.eval()
    gains: dict[str, list[float]] = {}
    deviations: dict[str, list[float]] = {"gmsd": [], "gmsd_spline": []}
    for t in judged:
        middle = t.low[:, network.slices // 2 : network.slices // 2 + 1]
        made = t.acquisition.project(network(t.low), middle)
        mask = t.truth > FOREGROUND
        ours, theirs = (float(((x - t.truth)[mask] ** 2).mean()) for x in (made, t.spline))
        gains.setdefault(t.volume, []).append(10 * float(np.log10(theirs / ours)))
        deviations["gmsd"].append(float(gmsd(made, t.truth)))
        deviations["gmsd_spline"].append(float(gmsd(t.spline, t.truth)))
    each = {name: round(float(np.mean(values)), 4) for name, values in gains.items()}
    rest = {name: round(float(np.mean(values)), 5) for name, values in deviations.items()}
    return {"gain_db": round(float(np.mean(list(each.values()))), 4), **each, **rest}
