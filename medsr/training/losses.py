"""The losses that the 2D systems are made of; `objectives` puts them together.

Images are (B, 1, H, W); every loss is a mean, so that its weight does not depend on the patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medsr.networks.eusr_critics import SCORES, Opinion

Adversarial = Literal["least_squares", "bce", "relativistic"]


def charbonnier(made: Tensor, truth: Tensor, epsilon: float = 1e-3) -> Tensor:
    """``mean √((made - truth)² + ε²)``: the mean absolute error, smooth at zero.

    P. Charbonnier et al., ICIP 1994, doi 10.1109/ICIP.1994.413553.
    """
    return torch.sqrt((made - truth) ** 2 + epsilon**2).mean()


def feature_distance(
    made: Sequence[Tensor],
    truth: Sequence[Tensor],
    kind: Literal["squared", "relative", "charbonnier"] = "squared",
) -> Tensor:
    """The distance of two lists of features, the mean over levels: per level ``mean (a - b)²``, the same over
    ``mean b²``, or `charbonnier`.

    `truth` is detached, so that a collaborator cannot move its features towards what was made.
    """
    levels = []
    for a, b in zip(made, truth, strict=True):
        goal = b.detach()
        if kind == "charbonnier":
            levels.append(charbonnier(a, goal))
        else:
            levels.append(
                F.mse_loss(a, goal) / (1 if kind == "squared" else goal.square().mean().clamp(min=1e-12))
            )
    return torch.stack(levels).mean()


class AdversarialLoss(nn.Module):
    """The game between a discriminator's outputs for true and for made images.

    least_squares, bce
        MONAI's `PatchAdversarialLoss` on the raw outputs (least squares without its activation).
    relativistic
        each output relative to the mean of the other kind: ``bce(real - mean(fake), 1)`` and
        ``bce(fake - mean(real), 0)``, halved. A. Jolicoeur-Martineau, arXiv:1807.00734; MONAI has none.
    """

    def __init__(self, kind: Adversarial = "least_squares") -> None:
        super().__init__()
        self.kind = kind
        self.patch: nn.Module | None = None
        if kind != "relativistic":
            from monai.losses import PatchAdversarialLoss  # MONAI takes seconds to import

            self.patch = PatchAdversarialLoss(criterion=kind, no_activation_leastsq=True)

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator minimises."""
        if self.patch is not None:
            true = self.patch(real, target_is_real=True, for_discriminator=True)
            return (true + self.patch(fake, target_is_real=False, for_discriminator=True)) / 2
        return _relative(real, fake)

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the generator minimises; `real` matters to the relativistic game only."""
        if self.patch is not None:
            return self.patch(fake, target_is_real=True, for_discriminator=False)
        return _relative(fake, real)


def _relative(high: Tensor, low: Tensor) -> Tensor:
    up, down = high - low.mean(), low - high.mean()
    ones = F.binary_cross_entropy_with_logits(up, torch.ones_like(up))
    return (ones + F.binary_cross_entropy_with_logits(down, torch.zeros_like(down))) / 2


def earth_mover(distribution: Tensor, target: Tensor) -> Tensor:
    """``mean √(mean_k (CDF - CDF*)²)`` of (B, 10) distributions of scores; r = 2 of NIMA, arXiv:1709.05424."""
    gap = distribution.cumsum(1) - target.cumsum(1)
    return torch.sqrt((gap**2).mean(1) + 1e-12).mean()


def score_loss(made: Opinion, truth: Opinion) -> Tensor:
    """``mean max(0, s'(made) - 0.8 s'(truth))``, ``s' = 10 - expected score``; 4PP-EUSR, arXiv:1809.04789."""
    return torch.clamp((SCORES - made.score) - 0.8 * (SCORES - truth.score.detach()), min=0).mean()


def representation_loss(made: Opinion, truth: Opinion) -> Tensor:
    """Mean squared distance of what a predictor judged by (the form is ours; the paper's weight is 0.1)."""
    return F.mse_loss(made.representation, truth.representation.detach())
