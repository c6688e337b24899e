"""Multitask super-resolution: segmentation teaches the encoder; only super-resolution runs.

M. S. Rad, B. Bozorgtabar, C. Musat, U.-V. Marti, M. Basler, H. K. Ekenel, J.-P. Thiran, "Benefiting from multitask
learning to improve single image super-resolution", Neurocomputing 398:304-313 (2020),
doi 10.1016/j.neucom.2019.07.107, arXiv:1907.12488.

The paper's: one shared encoder and two heads, super-resolution and semantic segmentation; labels are needed in
training only. Ours: the trunk after SRResNet without batch norm, the shape of the segmentation head, and the
classes: background, CSF, grey and white matter; `compact` adds an interpolation skip.
"""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from medsr.errors import UsageError
from medsr.networks.base import SliceNetwork
from medsr.networks.layers import ResidualTrunk, Scale, ShuffleUp, conv3, shuffle_chain
from medsr.networks.receptive import Conv, Layer

CLASSES = ("background", "CSF", "grey matter", "white matter")


class MultitaskSR(SliceNetwork):
    """A shared encoder, a super-resolution head and (in training) a segmentation head.

    Parameters
    ----------
    channels, blocks : width of the encoder and number of its residual blocks.
    kernel : size of the first and the last convolution.
    segmentation : whether the segmentation head is there.
    """

    def __init__(
        self,
        scale: Scale,
        slices: int = 1,
        *,
        channels: int,
        blocks: int,
        kernel: int,
        skip: bool,
        segmentation: bool = True,
    ) -> None:
        super().__init__(scale, slices, skip)
        self._size = {"channels": channels, "blocks": blocks, "kernel": kernel}
        self.kernel = kernel
        self.encoder = nn.Sequential(
            nn.Conv2d(slices, channels, kernel, padding=kernel // 2),
            nn.PReLU(),
            ResidualTrunk(channels, blocks, nn.PReLU),
        )
        self.up = ShuffleUp(channels, scale, nn.PReLU)
        self.tail = nn.Conv2d(channels, 1, kernel, padding=kernel // 2)
        self.segmentation: nn.Sequential | None = None
        if segmentation:
            half = channels // 2
            self.segmentation = nn.Sequential(
                conv3(channels, half), nn.PReLU(), ShuffleUp(half, scale, nn.PReLU), conv3(half, len(CLASSES))
            )
        if skip:
            self.start_at_skip()

    @classmethod
    def paper(cls, scale: Scale, slices: int = 1) -> Self:
        """64 channels, 16 residual blocks, 9 x 9 ends."""
        return cls(scale, slices, channels=64, blocks=16, kernel=9, skip=False)

    @classmethod
    def compact(cls, scale: Scale, slices: int = 1) -> Self:
        """32 channels, 10 blocks, 3 x 3 ends, interpolation skip (ours)."""
        return cls(scale, slices, channels=32, blocks=10, kernel=3, skip=True)

    def residual(self, x: Tensor) -> Tensor:
        return self.tail(self.up(self.encoder(x)))

    def forward_tasks(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The fine image (B, 1, ...) and the logits (B, classes, ...) of its tissues, for training.

        Raises
        ------
        UsageError
            if the segmentation head is not there.
        """
        if self.segmentation is None:
            raise UsageError("this network has no segmentation head", hint="build it with segmentation=True")
        self.check(x)
        features = self.encoder(x)
        image = self.tail(self.up(features))
        if self.skip is not None:
            image = image + self.skip(self.middle(x))
        return image, self.segmentation(features)

    def chain(self, axis: int) -> list[Layer]:
        ends = [Conv(self.kernel)]
        trunk: list[Layer] = [Conv(3)] * (2 * self._size["blocks"] + 1)
        return [*ends, *trunk, *shuffle_chain(self.up.factors, axis), *ends]

    def for_inference(self) -> Self:
        """The network without its segmentation head; shares nothing with this one."""
        bare = type(self)(
            self.scale, self.slices, **self._size, skip=self.skip is not None, segmentation=False
        ).to(self.tail.weight)
        bare.load_state_dict({k: v for k, v in self.state_dict().items() if not k.startswith("segmentation.")})
        return bare.train(self.training)
