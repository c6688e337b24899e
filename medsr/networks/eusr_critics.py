"""The critics of 4PP-EUSR: its discriminator and the two score predictors.

Choi et al., doi 10.1016/j.neucom.2019.06.103, arXiv:1809.04789 (see `eusr`).

The paper's: a discriminator of ten 3 x 3 convolutions and two dense layers; predictors of a distribution over the
scores 1 to 10 on a MobileNetV2 trunk (Sandler et al., arXiv:1801.04381; scores after NIMA, arXiv:1709.05424).
There they are trained on photographs (AVA, TID2013), which say nothing about MR.
Ours: they are trained on MR slices under known distortions, the *subjective* one towards a full-reference index,
the *aesthetic* one towards a no-reference index of sharpness and noise (`medsr.training.scores`); one channel;
group norm (one group) in the trunk instead of batch norm; narrow `compact` versions.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from medsr.networks.layers import Scale

SCORES = 10
"""Scores are 1, 2, ..., 10; 10 is the best."""


class Discriminator(nn.Module):
    """True or made: ten 3 x 3 convolutions, each second one with stride 2, and two dense layers.

    Parameters
    ----------
    patch : rows and columns of the images (B, 1, rows, columns) that it judges, multiples of 32.
    channels : of the first two convolutions; doubled every two.
    hidden : width of the dense layer.
    """

    def __init__(self, patch: Scale, channels: int = 32, hidden: int = 1024) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for level in range(5):
            outputs = channels * 2**level
            for stride in (1, 2):
                layers += [nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), nn.LeakyReLU(0.2)]
                inputs = outputs
        self.features = nn.Sequential(*layers)
        cells = -(-patch[0] // 32) * -(-patch[1] // 32)
        self.dense = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs * cells, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1)
        )

    @classmethod
    def paper(cls, patch: Scale) -> Self:
        """32, 32, 64, 64, ..., 512, 512 channels; 1024 in the dense layer."""
        return cls(patch)

    @classmethod
    def compact(cls, patch: Scale) -> Self:
        """An eighth of the channels (ours)."""
        return cls(patch, channels=4, hidden=128)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, rows, columns) to logits (B, 1)."""
        return self.dense(self.features(image))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: 1 x 1 wider, 3 x 3 channel by channel, 1 x 1 narrower; a skip where the size stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else _unit(inputs, width, 1)
        layers += _unit(width, width, 3, stride, groups=width)
        layers += [nn.Conv2d(width, outputs, 1, bias=False), _norm(outputs)]
        self.body = nn.Sequential(*layers)
        self.same = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + y if self.same else y


class Opinion(NamedTuple):
    """What a predictor thinks of images.

    distribution : (B, 10) probabilities of the scores 1 to 10.
    representation : (B, width) what it judged by.
    """

    distribution: Tensor
    representation: Tensor

    @property
    def score(self) -> Tensor:
        """(B,) the expected score."""
        ladder = torch.arange(1, SCORES + 1, dtype=self.distribution.dtype, device=self.distribution.device)
        return self.distribution @ ladder


PAPER_ROWS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
COMPACT_ROWS = ((1, 8, 1, 1), (4, 12, 2, 2), (4, 16, 2, 2), (4, 32, 2, 2))


class ScorePredictor(nn.Module):
    """The distribution of scores of an image, on a MobileNetV2 trunk.

    Parameters
    ----------
    rows : (expansion, channels, blocks, stride of the first) a stage.
    stem, width : channels of the first convolution and of the representation.
    """

    def __init__(self, rows: tuple[tuple[int, int, int, int], ...], stem: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = _unit(1, stem, 3, 2)
        inputs = stem
        for expansion, outputs, blocks, stride in rows:
            for block in range(blocks):
                layers.append(InvertedResidual(inputs, outputs, stride if block == 0 else 1, expansion))
                inputs = outputs
        self.trunk = nn.Sequential(*layers, *_unit(inputs, width, 1))
        self.dense = nn.Linear(width, SCORES)

    @classmethod
    def paper(cls) -> Self:
        """MobileNetV2 at its full width."""
        return cls(PAPER_ROWS, 32, 1280)

    @classmethod
    def compact(cls) -> Self:
        """Seven narrow blocks (ours)."""
        return cls(COMPACT_ROWS, 16, 128)

    def forward(self, image: Tensor) -> Opinion:
        """(B, 1, H, W) to an opinion."""
        representation = self.trunk(image).mean((2, 3))
        return Opinion(self.dense(representation).softmax(1), representation)


def _unit(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, _norm(outputs), nn.ReLU6()]


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(1, channels)
