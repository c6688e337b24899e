"""GCN: a generator trained in the feature space of a network that collaborates with it.

M. E. A. Seddik, M. Tamaazousti, J. Lin, "Generative collaborative networks for single image super-resolution",
Neurocomputing 398 (2020), arXiv:1902.10467.

The paper's: a generator optimised in the features of an extractor, which is fixed or learned with it, because the
features of a network trained on photographs suit images far from photographs badly.
Ours: the generator is a residual network after SRResNet (Ledig et al., arXiv:1609.04802) without batch norm, whose
statistics would tie a result to its batch; the extractor is the encoder of a denoising autoencoder of MR slices;
`compact` adds an interpolation skip.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medsr.errors import UsageError
from medsr.networks.base import SliceNetwork
from medsr.networks.layers import ResidualTrunk, Scale, ShuffleUp, conv3, shuffle_chain
from medsr.networks.patchgan import patch_discriminator
from medsr.networks.receptive import Conv, Layer

Mode = Literal["identity", "random", "disjoint", "joint", "discriminator"]
MODES: tuple[Mode, ...] = get_args(Mode)


class GCN(SliceNetwork):
    """The generator: head, residual trunk on the coarse grid, pixel shuffles, tail.

    Parameters
    ----------
    channels, blocks : width of the trunk and number of residual blocks.
    kernel : size of the first and the last convolution.
    """

    def __init__(
        self, scale: Scale, slices: int = 1, *, channels: int, blocks: int, kernel: int, skip: bool
    ) -> None:
        super().__init__(scale, slices, skip)
        self.kernel = kernel
        self.head = nn.Sequential(nn.Conv2d(slices, channels, kernel, padding=kernel // 2), nn.PReLU())
        self.trunk = ResidualTrunk(channels, blocks, nn.PReLU)
        self.up = ShuffleUp(channels, scale, nn.PReLU)
        self.tail = nn.Conv2d(channels, 1, kernel, padding=kernel // 2)
        if skip:
            self.start_at_skip()

    @classmethod
    def paper(cls, scale: Scale, slices: int = 1) -> Self:
        """SRResNet's size: 64 channels, 16 blocks, 9 x 9 ends."""
        return cls(scale, slices, channels=64, blocks=16, kernel=9, skip=False)

    @classmethod
    def compact(cls, scale: Scale, slices: int = 1) -> Self:
        """32 channels, 10 blocks, 3 x 3 ends, interpolation skip (ours)."""
        return cls(scale, slices, channels=32, blocks=10, kernel=3, skip=True)

    def residual(self, x: Tensor) -> Tensor:
        return self.tail(self.up(self.trunk(self.head(x))))

    def chain(self, axis: int) -> list[Layer]:
        ends = [Conv(self.kernel)]
        return [*ends, *self.trunk.chain, *shuffle_chain(self.up.factors, axis), *ends]


class Extractor(nn.Module):
    """A convolutional encoder of fine slices (ours): features at full, half and quarter resolution.

    Parameters
    ----------
    channels : of the first level; doubled at each further one.
    """

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        inputs = 1
        for level in range(3):
            outputs = channels * 2**level
            down = nn.Conv2d(inputs, outputs, 3, stride=1 if level == 0 else 2, padding=1)
            self.levels.append(nn.Sequential(down, nn.LeakyReLU(0.2), conv3(outputs, outputs), nn.LeakyReLU(0.2)))
            inputs = outputs
        self.widths = [channels, 2 * channels, 4 * channels]

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 1, H, W) to the features of the three levels."""
        features = []
        for level in self.levels:
            image = level(image)
            features.append(image)
        return features


class DenoisingAutoencoder(nn.Module):
    """An `Extractor` with a decoder, trained to remove noise from fine slices (ours).

    The decoder sees the deepest level only, so that the features have to say what the slice looks like.
    """

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.extractor = Extractor(channels)
        full, half, quarter = self.extractor.widths
        self.first = nn.Sequential(conv3(quarter, half), nn.LeakyReLU(0.2))
        self.second = nn.Sequential(conv3(half, full), nn.LeakyReLU(0.2))
        self.tail = conv3(full, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, H, W) to its denoised version."""
        full, half, quarter = self.extractor(image)
        x = F.interpolate(self.first(quarter), size=half.shape[-2:], mode="nearest")
        x = F.interpolate(self.second(x), size=full.shape[-2:], mode="nearest")
        return self.tail(x)


class Collaborator(nn.Module):
    """The network that the generator collaborates with, in one of five modes.

    identity
        the features are the pixels.
    random
        generic features, of no domain: the encoder below as it is drawn, fixed (ours; the paper's generic ones are
        those of a network trained on photographs).
    disjoint
        the domain's features: the encoder of a denoising autoencoder, trained beforehand and then fixed.
    joint
        the same encoder, trained on its own task while the generator learns.
    discriminator
        the hidden layers of a patch discriminator that is trained against the generator.

    Parameters
    ----------
    channels : width of the first level of the extractor or the discriminator.
    noise : standard deviation of the noise that the autoencoder learns to remove, in units of the image.
    """

    def __init__(self, mode: Mode, channels: int = 16, noise: float = 0.05) -> None:
        super().__init__()
        if mode not in MODES:
            raise UsageError("unknown mode of GCN", got=repr(mode), hint=f"choose from {', '.join(MODES)}")
        self.mode: Mode = mode
        self.noise = noise
        self.generic = Extractor(channels) if mode == "random" else None
        self.autoencoder = DenoisingAutoencoder(channels) if mode in ("disjoint", "joint") else None
        self.discriminator = patch_discriminator(channels) if mode == "discriminator" else None

    @property
    def learns_with_generator(self) -> bool:
        """Whether `own_loss` is to be minimised while the generator trains."""
        return self.mode in ("joint", "discriminator")

    def features(self, image: Tensor) -> list[Tensor]:
        """``Φ(image)``, level by level; (B, 1, H, W) in."""
        if self.generic is not None:
            return self.generic(image)
        if self.autoencoder is not None:
            return self.autoencoder.extractor(image)
        if self.discriminator is not None:
            return self.discriminator(image)[:-1]
        return [image]

    def own_loss(self, truth: Tensor, made: Tensor, adversarial: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """The loss of the collaborator's own task.

        Denoising ``mean (D(E(y + n)) - y)²`` for the autoencoder; `adversarial(real, fake)`, a discriminator's
        loss of its two outputs, for the discriminator; zero for pixels and random features.
        """
        if self.autoencoder is not None:
            return F.mse_loss(self.autoencoder(truth + self.noise * torch.randn_like(truth)), truth)
        if self.discriminator is not None:
            return adversarial(self.discriminator(truth)[-1], self.discriminator(made.detach())[-1])
        return truth.new_zeros(())
