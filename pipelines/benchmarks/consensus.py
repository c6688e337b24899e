"""`consensus` against `spline` and plain interpolation on simulated scans: prints the tables of the README.

    python -m pipelines.benchmarks.consensus --data FOLDER [--heads Colin27] [--settings "x2 gaussian"] [--val]

Scans are simulated with a known acquisition, and the reconstructions are told the truth, but for the rows with a
width 20 % too narrow or too wide. Noise is Rician, in percent of the 99.5th percentile, and its level is told.
PSNR, SSIM and HFEN over the central 120³, voxels above 5 % of the 99.5th percentile. `--val` scores the heads by
which training is watched instead of the test heads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from medsr import Volume
from medsr.acquisition.slices import SliceAcquisition, plan_acquisition
from medsr.evaluation.image import evaluate
from medsr.methods.base import no_progress
from medsr.methods.consensus import Parts, Views, propose
from medsr.methods.interpolation import bspline
from medsr.methods.spline import spline
from medsr.operators.pointspread import PointSpread
from medsr.simulation.lowres import crop_to, simulate_lowres
from pipelines.benchmarks.heads import CENTRAL, choose, load, parser


@dataclass(frozen=True)
class Setting:
    """How a scan was made. through : axis across the slices is coarser, the others are kept."""

    ratio: float
    through: bool
    kind: str
    noise: float = 0.0
    thickness: float = 1.0
    told: float = 1.0


SETTINGS = {
    "x2 gaussian": Setting(2, False, "gaussian"),
    "x4 through-plane": Setting(4, True, "gaussian"),
    "x2 kspace": Setting(2, False, "kspace"),
    "x3.3 gaussian": Setting(3.3, False, "gaussian"),
    "x5 through-plane, 20 % gap": Setting(5, True, "gaussian", thickness=0.8),
    "x2 gaussian, 2 %": Setting(2, False, "gaussian", 2),
    "x2 kspace, 2 %": Setting(2, False, "kspace", 2),
    "x4 through-plane, 2 %": Setting(4, True, "gaussian", 2),
    "x2 gaussian, 2 %, told 0.8": Setting(2, False, "gaussian", 2, told=0.8),
    "x2 gaussian, 2 %, told 1.2": Setting(2, False, "gaussian", 2, told=1.2),
    "x4 through-plane, 2 %, told 0.8": Setting(4, True, "gaussian", 2, told=0.8),
    "x4 through-plane, 2 %, told 1.2": Setting(4, True, "gaussian", 2, told=1.2),
}
RESOLVED = 1.5
"""The last axis is the one across the slices, but where it is this many times coarser than the others already."""

METHODS = ("bspline", "spline", "one view", "consensus")


def main() -> None:
    """Prints one row a head, setting and method."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    asked = arguments.parse_args()
    print(f"{'head':12} {'setting':33} " + " ".join(f"{m:>24}" for m in METHODS))
    print(f"{'':12} {'':33} " + " ".join(f"{'PSNR   SSIM   HFEN':>24}" for _ in METHODS))
    for name in choose(asked):
        head = load(asked.data, name)
        for label in asked.settings:
            truth, images = reconstructions(head, SETTINGS[label])
            row = []
            for image in images.values():
                scored = evaluate(image, truth, central=CENTRAL)
                row.append(f"{scored.psnr:11.2f} {scored.ssim:6.4f} {scored.hfen:5.3f}")
            print(f"{name:12} {label:33} " + " ".join(row), flush=True)


def scan_of(head: Volume, setting: Setting) -> tuple[NDArray[np.float32], SliceAcquisition, Volume]:
    """The scan (x, y, z), what its reconstruction is told, and the truth on the fine grid."""
    spacing = head.grid.spacing
    thick = 2 if spacing[2] < RESOLVED * min(spacing) else 0
    axis = thick if setting.through else None
    coarse = [s * (1.0 if setting.through and a != axis else setting.ratio) for a, s in enumerate(spacing)]
    thickness = None if axis is None else setting.thickness * coarse[axis]
    scan = simulate_lowres(
        head, spacing=coarse, psf=setting.kind, noise=setting.noise, slice_axis=axis, slice_thickness=thickness
    )
    sigma = setting.noise / 100 * float(np.percentile(head.data, 99.5))
    acquisition = plan_acquisition(scan, spacing=spacing, psf={"*": setting.kind}, noise=sigma)
    psf = [None if p is None else PointSpread(p.kind, p.width * setting.told) for p in acquisition.psf]
    told = replace(acquisition, psf=(psf[0], psf[1], psf[2]))
    return scan.data, told, crop_to(head, acquisition.fine)


def reconstructions(head: Volume, setting: Setting) -> tuple[Volume, dict[str, Volume]]:
    """The truth, and the image of each of METHODS."""
    scan, acquisition, truth = scan_of(head, setting)
    y = torch.from_numpy(scan)
    images = {
        "bspline": bspline(y, acquisition, no_progress),
        "spline": spline(y, acquisition, no_progress),
        "one view": propose(y, acquisition, no_progress, Parts(Views(1))),
        "consensus": propose(y, acquisition, no_progress, Parts()),
    }
    return truth, {name: truth.with_data(e.data.numpy()) for name, e in images.items()}


if __name__ == "__main__":
    main()
