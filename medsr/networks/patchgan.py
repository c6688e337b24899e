"""The patch discriminator, from MONAI."""

from __future__ import annotations

from torch import nn


def patch_discriminator(channels: int = 32, layers: int = 3) -> nn.Module:
    """MONAI's `PatchDiscriminator` for images (B, 1, H, W); it answers its hidden features and, last, the scores.

    Instance instead of batch norm, so that true and made images are judged by the same function whatever else
    is in the batch. After Isola et al., arXiv:1611.07004.
    """
    from monai.networks.nets import PatchDiscriminator  # MONAI takes seconds to import

    return PatchDiscriminator(
        spatial_dims=2, channels=channels, in_channels=1, num_layers_d=layers, norm="INSTANCE"
    )
