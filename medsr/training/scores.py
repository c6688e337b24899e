"""What the two score predictors of 4PP-EUSR learn on MR slices (ours: the paper used photographs).

The *subjective* target is a full-reference index of a slice under a known distortion; the *aesthetic* one a
no-reference index of its sharpness and noise. Both become a distribution over the scores 1 to 10. Images are
(B, 1, H, W), scaled to about [0, 1].
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medsr.networks.eusr_critics import SCORES

SPREAD = 1.0
"""Standard deviation of a distribution of scores."""

GMSD_WORST = 0.3
"""Gradient magnitude similarity deviation that earns the score 1."""


def score_distribution(score: Tensor, spread: float = SPREAD) -> Tensor:
    """(B,) scores in [1, 10] to (B, 10) probabilities, a Gaussian on the ladder."""
    ladder = torch.arange(1, SCORES + 1, dtype=score.dtype, device=score.device)
    return torch.softmax(-((ladder - score[:, None]) ** 2) / (2 * spread**2), 1)


def subjective_target(image: Tensor, reference: Tensor, index: Literal["gmsd", "ssim"] = "gmsd") -> Tensor:
    """(B, 10) from GMSD (0 is 10, `GMSD_WORST` and beyond is 1) or SSIM (1 is 10, 0 and below is 1)."""
    if index == "gmsd":
        quality = 1 - gmsd(image, reference) / GMSD_WORST
    else:
        from monai.losses import SSIMLoss  # MONAI takes seconds to import

        quality = 1 - SSIMLoss(spatial_dims=2, reduction="none")(image, reference).flatten(1).mean(1)
    return score_distribution(1 + (SCORES - 1) * quality.clamp(0, 1))


def aesthetic_target(image: Tensor) -> Tensor:
    """(B, 10) from `sharpness` less three times `noise_level`."""
    quality = sharpness(image) - 3 * noise_level(image)
    return score_distribution(1 + (SCORES - 1) * quality.clamp(0, 1))


def gmsd(image: Tensor, reference: Tensor) -> Tensor:
    """(B,) gradient magnitude similarity deviation, 0 for equal images.

    The standard deviation of ``(2 g h + c) / (g² + h² + c)``, g and h the Prewitt gradient magnitudes of the two
    images after a 2 x 2 mean and a reduction by 2, c = 170 / 255². W. Xue et al., IEEE Trans Image Process 23:684
    (2014), doi 10.1109/TIP.2013.2293423.
    """
    g, h = (_prewitt(F.avg_pool2d(x, 2)) for x in (image, reference))
    c = 170 / 255**2
    similarity = (2 * g * h + c) / (g**2 + h**2 + c)
    return similarity.flatten(1).std(1, correction=0)


def sharpness(image: Tensor) -> Tensor:
    """(B,) in [0, 1]: how much of its local variation an image loses when it is blurred; 0 for a flat image.

    A sharp image loses much, a blurred one little. F. Crete et al., Proc SPIE 6492 (2007),
    doi 10.1117/12.702790, with a 9 pixel mean along each axis.
    """
    shares = []
    for axis in (2, 3):
        kernel, pad = ([9, 1], [0, 0, 4, 4]) if axis == 2 else ([1, 9], [4, 4, 0, 0])
        blurred = F.avg_pool2d(F.pad(image, pad, mode="replicate"), kernel, stride=1)
        before, after = image.diff(dim=axis).abs(), blurred.diff(dim=axis).abs()
        total = before.flatten(1).sum(1)
        lost = (before - after).clamp(min=0).flatten(1).sum(1)
        shares.append(lost / total.clamp(min=1e-12))
    return torch.minimum(*shares)


def noise_level(image: Tensor) -> Tensor:
    """(B,) standard deviation of the noise over that of the image; 0 for a flat image.

    J. Immerkaer, Comput Vis Image Underst 64:300 (1996), doi 10.1006/cviu.1996.0060.
    """
    stencil = image.new_tensor([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])[None, None]
    sigma = math.sqrt(math.pi / 2) / 6 * F.conv2d(image, stencil).abs().flatten(1).mean(1)
    return sigma / image.flatten(1).std(1).clamp(min=1e-6)


def _prewitt(image: Tensor) -> Tensor:
    across = image.new_tensor([[1, 0, -1], [1, 0, -1], [1, 0, -1]])[None, None] / 3
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    # the small constant keeps the root differentiable on flat ground
    return torch.sqrt(F.conv2d(padded, across) ** 2 + F.conv2d(padded, across.mT) ** 2 + 1e-12)
