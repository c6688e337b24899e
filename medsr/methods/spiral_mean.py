"""What a network takes off the mean image of a spiral run: the blur of off-resonance that no map tells of."""

from __future__ import annotations

import json
from functools import lru_cache

import torch
from torch import Tensor

from medsr.acquisition.spiral import SpiralAcquisition
from medsr.models.card import card
from medsr.models.tensors import read_tensors, shipped_weights
from medsr.networks.spiral_deblur import SpiralDeblur

LONGEST = 8e-3
"""Duration of a readout in s that the network has seen the like of; beyond it the image is left as it is."""


def deblurrable(a: SpiralAcquisition) -> bool:
    """Whether the network knows such runs: spirals outwards of a short duration, the field not corrected."""
    outwards = float(a.trajectories[0, 0, :2].norm()) < 1
    return outwards and a.readouts == 1 and 0 < a.duration <= LONGEST and a.segments is None


@torch.no_grad()
def blurred_away(mean: Tensor, duration: float, network: SpiralDeblur) -> Tensor:
    """What to add to the mean image (x, y[, z]) complex: of its own phase, (x, y[, z]) complex."""
    planes = mean[None] if mean.ndim == 2 else mean.permute(2, 0, 1)
    more = network(planes, torch.full((len(planes),), duration))
    more = more[0] if mean.ndim == 2 else more.permute(1, 2, 0)
    return torch.polar(torch.ones_like(more), mean.angle()) * more


@lru_cache(maxsize=1)
def load_deblur() -> SpiralDeblur:
    """The network with the weights that medsr ships, checked against the card."""
    weights = card("spiral-fmri-dc").weights["deblur"]
    tensors, about = read_tensors(shipped_weights(weights.file), weights.sha256)
    network = SpiralDeblur(**json.loads(about["network"]))
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)
