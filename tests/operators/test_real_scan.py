"""A real Cartesian brain, 8 coils, Poisson-disc sampled, through the same operators."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from medsr.acquisition.sensitivities import espirit
from medsr.consistency.tikhonov import Tikhonov, tikhonov_sense
from medsr.operators.sense import Sense

pytestmark = pytest.mark.data


def test_a_real_brain_is_explained():
    """Coil maps from the scan's own centre, SENSE on its samples as a non-uniform transform, the residual."""
    folder = Path(os.environ.get("MEDSR_DATA", ""))
    path = folder / "kspace" / "sigpy_tutorial" / "cartesian_ksp.npy"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    kspace = torch.from_numpy(np.load(path, allow_pickle=False)).to(torch.complex64)
    coils, *shape = kspace.shape
    sampled = kspace.abs().amax(0) > 0
    images = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=(1, 2)), norm="ortho"), dim=(1, 2))
    maps = espirit(images)
    where = torch.nonzero(sampled).to(torch.float64)
    k = where - torch.tensor([n // 2 for n in shape])
    y = kspace[:, sampled]
    solved = tikhonov_sense(y[None], k[None], maps, Tikhonov(1e-3, 60, 1e-3))
    left = y - Sense(k, maps).forward(solved.x[0])
    assert float(left.norm() / y.norm()) < 0.1
    assert coils == 8
    picture = os.environ.get("MEDSR_PICTURES")
    if picture:
        from PIL import Image

        image = solved.x[0].abs().numpy()
        plain = images.abs().square().sum(0).sqrt().numpy()
        both = np.hstack([np.clip(i / np.percentile(i, 99.7), 0, 1) for i in (plain, image)])
        Image.fromarray((255 * both).astype(np.uint8)).save(Path(picture) / "brain.png")
