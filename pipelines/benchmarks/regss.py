"""What the shifts of regularly spaced shifting bring, and what they mend: prints the ablation of the README.

    python -m pipelines.benchmarks.regss --data FOLDER [--heads Colin27] [--shifts 12] [--central] [--picture PNG]

Whole heads in float32, x2 along all axes, degraded as the paper's released code does it: cropped to a multiple of
2, a Gaussian of σ = 1 voxel, a cubic antialiased centre-aligned reduction; no noise. The same weights with two
interpolations, centre-aligned and that of `scipy.ndimage.zoom` (end points onto end points), in one pass and as
the consensus over the 47 shifts. `spline` and `consensus` are told the Gaussian point spread that is nearest to
the degradation.

PSNR, SSIM: range the truth's 99.5th percentile; central 120³, voxels above 5 % of it. 'own maximum': the same PSNR
where the result (of a consensus every pass, as released) is divided by its own maximum and the truth by its.
'whole': PSNR over all voxels, range the truth's maximum, which is the paper's. `--central` takes a quarter of the
time and gives the first column alone, which is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from medsr import Volume
from medsr.acquisition.slices import SliceAcquisition
from medsr.evaluation.image import evaluate
from medsr.methods.base import no_progress
from medsr.methods.interpolation import bspline
from medsr.methods.registry import load_method
from medsr.methods.regss import SHIFTS, load_network, passes
from medsr.methods.spline import spline
from medsr.models.card import cards
from medsr.operators.modeproduct import mode_product
from medsr.operators.pointspread import PointSpread, sampling_matrix
from medsr.report.pictures import Scale, Window, coloured, grey
from medsr.simulation.lowres import crop_to, plan_lowres
from medsr.simulation.reduction import reduction_matrix
from pipelines.benchmarks.heads import CENTRAL, central_psnr, choose, load, parser

RATIO = 2
FEWER = 12
"""Shifts after which a row is printed too."""
Made = tuple[str, NDArray[np.float32], NDArray[np.float32] | None]
"""What it is, the image, and what it is over its own maximum where that is not simply so."""


def main() -> None:
    """Prints a row a head and reconstruction, as they are made."""
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--shifts", type=int, default=len(SHIFTS), help="how many of the 47, the first ones")
    made.add_argument(
        "--central", action="store_true", help="run the network on the central 120³ of the whole head alone"
    )
    made.add_argument("--picture", type=Path, help="write a PNG of the first head, its reconstructions and errors")
    asked = made.parse_args()
    print(f"{'head':12} {'':32} {'PSNR':>7} {'SSIM':>7} {'own maximum':>12} {'whole':>7}")
    for name in choose(asked):
        head = load(asked.data, name)
        scan, acquisition, truth = released_scan(head)
        shown = {}
        for label, image, over_own in reconstructions(scan, acquisition, asked.shifts, asked.central):
            own = image / image.max() if over_own is None else over_own
            row = f"{name:12} {label:32} {central_psnr(image, truth.data):7.2f}"
            if not (asked.central and label.startswith("regss")):
                ssim = evaluate(truth.with_data(image), truth, central=CENTRAL).ssim
                own_psnr = central_psnr(own * truth.data.max(), truth.data)
                row += f" {ssim:7.4f} {own_psnr:12.2f} {whole_psnr(image, truth.data):7.2f}"
            print(row, flush=True)
            shown[label] = image
        if asked.picture:
            picture(truth.data, shown, asked.picture)
            asked.picture = None


def released_scan(head: Volume) -> tuple[torch.Tensor, SliceAcquisition, Volume]:
    """The scan, what `spline` and `consensus` are told of it, and the truth on the fine grid."""
    acquisition, _ = plan_lowres(head, spacing=[RATIO * h for h in head.grid.spacing], psf={"*": "gaussian"})
    truth = crop_to(head, acquisition.fine)
    matrices = [torch.as_tensor(reduction_matrix(n, RATIO), dtype=torch.float32) for n in truth.data.shape]
    scan = mode_product(torch.from_numpy(np.ascontiguousarray(truth.data)), matrices)
    x, y, z = (PointSpread("gaussian", nearest_width() * h) for h in head.grid.spacing)
    return scan, replace(acquisition, psf=(x, y, z)), truth


def nearest_width() -> float:
    """Of the Gaussian point spread nearest to the degradation, in fine voxels."""
    n = 32 * RATIO
    wanted = reduction_matrix(n, RATIO)[16]

    def off(width: float) -> float:
        row = sampling_matrix(PointSpread("gaussian", width), n, 1.0, 32, float(RATIO))[16]
        return float(np.square(row - wanted).sum())

    return float(minimize_scalar(off, bounds=(1.2, 6.0), method="bounded").x)


def reconstructions(
    y: torch.Tensor, acquisition: SliceAcquisition, number: int, central: bool = False
) -> Iterator[Made]:
    """One after the other, those that take long last."""
    yield "cubic spline", bspline(y, acquisition, no_progress).data.numpy(), None
    yield "spline", spline(y, acquisition, no_progress).data.numpy(), None
    if "consensus" in cards():
        yield "consensus", load_method("consensus")(y, acquisition, no_progress).data.numpy(), None
    network, _ = load_network()
    shifts = SHIFTS[:number]
    corner = [max(0, (n - CENTRAL) // 2) for n in acquisition.fine.shape]
    inner = [range(c, min(n, c + CENTRAL)) for c, n in zip(corner, acquisition.fine.shape, strict=True)]
    box = inner if central else None
    both = {
        words: (
            Mean(acquisition.fine.shape),
            passes(network, y, (RATIO,) * 3, no_progress, aligned=a, shifts=shifts, box=box),
        )
        for words, a in (("aligned", True), ("misaligned", False))
    }
    for done in range(1, len(shifts) + 1):
        for words, (mean, images) in both.items():
            mean.add(next(images)[1])
            if done == 1:
                yield f"regss, {words}, one pass", mean.image, None
            if done in (FEWER, len(shifts)) and done > 1:
                yield f"regss, {words}, {done} shifts", mean.image, mean.over_own


class Mean:
    """The mean of images, and of images over their own maxima."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.number, self._sum, self._sum_over_own = 0, torch.zeros(shape), torch.zeros(shape)

    def add(self, image: torch.Tensor) -> None:
        """One more."""
        self.number += 1
        self._sum += image
        self._sum_over_own += image / image.max()

    @property
    def image(self) -> NDArray[np.float32]:
        return (self._sum / self.number).numpy()

    @property
    def over_own(self) -> NDArray[np.float32]:
        return (self._sum_over_own / self.number).numpy()


def whole_psnr(x: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """PSNR in dB over all voxels, range the truth's maximum."""
    power = np.mean(np.square(x - truth, dtype=np.float64))
    return float(10 * np.log10(float(truth.max()) ** 2 / power))


def picture(truth: NDArray[np.float32], images: dict[str, NDArray[np.float32]], path: Path) -> None:
    """One axial slice of the truth and of what was made of it; below, the errors, blue where too dark."""
    from PIL import Image, ImageDraw, ImageFont

    shifted = [k for k in images if k.startswith("regss") and not k.endswith(f" {FEWER} shifts")]
    chosen = {"truth": truth} | {k.removeprefix("regss, "): images[k] for k in ("cubic spline", *shifted)}
    peak = float(np.percentile(truth, 99.5))
    wide, high = truth.shape[:2]
    top, gap = 22, 4
    sheet = Image.new("RGB", (len(chosen) * (wide + gap) - gap, 2 * (high + gap) + top), (12, 12, 14))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)

    def cut(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ascontiguousarray(volume[:, ::-1, volume.shape[2] // 2].T)

    for i, (label, image) in enumerate(chosen.items()):
        left = i * (wide + gap)
        draw.text((left + 3, 3), label, fill=(235, 235, 235), font=font)
        sheet.paste(grey(cut(image), Window(0.0, peak)).convert("RGB"), (left, top))
        if i:
            error = coloured(cut(image - truth), Scale("diverging", 0.25 * peak))
            sheet.paste(error.convert("RGB"), (left, top + high + gap))
    draw.text((3, top + high + gap + 3), "errors, to ±25 %", fill=(235, 235, 235), font=font)
    sheet.save(path, optimize=True)


if __name__ == "__main__":
    main()
