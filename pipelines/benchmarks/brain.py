"""A real raw scan that nobody here simulated: ``python -m pipelines.benchmarks.brain -o PICTURE.png``.

The 8-coil, Poisson-disc sampled Cartesian brain of SigPy's tutorial, through the operators of spirals: coil maps
by ESPIRiT from its own centre, all samples in one non-uniform transform, SENSE at several λ (over the density
of the samples). Printed is what it leaves of them, and what the coil images lack of the maps' span (a test of the
maps that no SENSE takes part in). The picture: coils added without maps, SENSE, magnitudes of two coil maps.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medsr.acquisition.sensitivities import CALIBRATION, espirit
from medsr.consistency.tikhonov import Tikhonov, tikhonov_sense
from medsr.operators.sense import Sense

FILE = "kspace/sigpy_tutorial/cartesian_ksp.npy"
DAMPINGS = (1e-3, 1e-2, 3e-2, 1e-1)
SHOWN = 3e-2


@dataclass(frozen=True, eq=False)
class Brain:
    """coils : their images by the inverse FFT, zeros where nothing was sampled. maps : (coils, x, y).
    k, y : positions and samples of the non-uniform transform.
    """

    coils: Tensor
    maps: Tensor
    k: Tensor
    y: Tensor

    @classmethod
    def read(cls, path: Path) -> Brain:
        kspace = torch.from_numpy(np.load(path, allow_pickle=False)).to(torch.complex64)
        sampled = kspace.abs().amax(0) > 0
        coils = image(kspace)
        k = torch.nonzero(sampled).double() - torch.tensor([n // 2 for n in sampled.shape])
        return cls(coils, espirit(coils), k, kspace[:, sampled])

    def sense(self, damping: float) -> tuple[Tensor, Tensor]:
        """The image, and the residual of the samples; `damping` over the samples' density."""
        density = self.y.shape[1] / self.coils[0].numel()
        solved = tikhonov_sense(self.y[None], self.k[None], self.maps, Tikhonov(damping * density, 100, 1e-4))
        x = solved.x[0]
        return x, self.y - Sense(self.k, self.maps).forward(x)

    def outside(self) -> float:
        """Share of the coil images of the fully sampled centre that no image under the maps has."""
        low = [slice(n // 2 - CALIBRATION // 2, n // 2 + CALIBRATION // 2) for n in self.coils.shape[1:]]
        kspace = torch.zeros_like(self.coils)
        kspace[(slice(None), *low)] = spectrum(self.coils)[(slice(None), *low)]
        smooth = image(kspace)
        within = (self.maps.conj() * smooth).sum(0) * self.maps
        return float((smooth - within).norm() / smooth.norm())


def image(kspace: Tensor) -> Tensor:
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=(1, 2)), norm="ortho"), dim=(1, 2))


def spectrum(images: Tensor) -> Tensor:
    return torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(images, dim=(1, 2)), norm="ortho"), dim=(1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("MEDSR_DATA"))
    parser.add_argument("-o", "--output", type=Path, metavar="PICTURE.png")
    args = parser.parse_args()
    path = Path(args.data or "") / FILE
    if not path.is_file():
        sys.exit(f"{path}: not there; name the data folder with --data or MEDSR_DATA")
    brain = Brain.read(path)
    share = brain.y.shape[1] / brain.coils[0].numel()
    print(f"{len(brain.coils)} coils, {brain.y.shape[1]} samples each, {share:.1%} of the grid")
    print(f"centre of k-space outside the span of the maps: {brain.outside():.1%}")
    shown = [brain.coils.abs().square().sum(0).sqrt()]
    for damping in DAMPINGS:
        x, left = brain.sense(damping)
        print(f"SENSE, λ {damping:g}: residual {float(left.norm() / brain.y.norm()):.1%} of the samples")
        if damping == SHOWN:
            shown.append(x.abs())
    if args.output is not None:
        from PIL import Image

        shown = [p / torch.quantile(p.flatten(), 0.997) for p in shown]
        row = torch.cat([*shown, *brain.maps[::4].abs()], 1)
        Image.fromarray((255 * row.clamp(0, 1)).byte().numpy()).save(args.output)


if __name__ == "__main__":
    main()
