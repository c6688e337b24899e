"""The table of the 2D models: ``python -m pipelines.benchmarks.models --data FOLDER``.

    python -m pipelines.benchmarks.models --data FOLDER [--heads Colin27] [--time] [--dice] [--json FILE]

Scans are simulated from the test heads (Colin27 whole, of the others the middle 144 voxels of each axis): x4
through-plane (gaussian slices, no gap, along z) and x2 in-plane (x and y by truncated Fourier space), without
noise; the middle with 2 % too. Beside every trained model stand `bspline`, `spline` and `consensus`. PSNR, SSIM
and HFEN as `medsr evaluate` has them, over the foreground of the central 120 voxels of each axis; `raw` is the
PSNR of what the network proposes, before the projection, `noisy` that of the image from the scan with noise. GMSD
(less is better; the mean over sagittal, coronal and axial planes of the central box) and sharpness (over the
truth's; 1 is right) are the perceptual figures. Dice is the mean over CSF, grey and white matter of a tissue
classification of the central box of the result against the same of the truth (DIPY's hidden Markov random field;
brains without a skull only: niimath). With --time each row is made by a process of its own on one thread: its
CPU seconds, from the scan to the projected image, and its peak memory, the head and the libraries included. On a
machine with other work such seconds are to be compared with those of `spline` in the same run alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medsr import Volume, reconstruct
from medsr.acquisition.slices import SliceAcquisition, plan_acquisition
from medsr.consistency.projection import Projection
from medsr.evaluation.image import evaluate
from medsr.methods.base import no_progress
from medsr.methods.slicewise import propose
from medsr.models.card import cards
from medsr.models.slices import load_network, model, model_names
from medsr.networks.count import macs_per_output_pixel
from medsr.simulation.lowres import crop_to, simulate_lowres
from medsr.training.scores import gmsd, sharpness
from medsr.training.slices.tissues import CLASSES, classify_tissues
from pipelines.benchmarks.heads import CENTRAL, TEST_HEADS, central, central_psnr, choose, load, middle, parser

MODES = {"x4 through": ((1, 1, 4), {"z": "gaussian"}, (4, 1)), "x2 in-plane": ((2, 2, 1), {"*": "kspace"}, (2, 2))}
BRAINS = ("niimath",)
WHOLE = ("Colin27",)
NOISE = 2
"""Percent of the brightest tissue."""
COLUMNS = ("psnr", "raw", "noisy", "ssim", "hfen", "gmsd", "sharp", "dice")


def main() -> None:
    """Prints one row a model, mode and head."""
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--models", nargs="+", help="of these alone; default: all")
    made.add_argument("--modes", nargs="+", choices=list(MODES), default=list(MODES))
    made.add_argument("--time", action="store_true", help="CPU seconds on one thread and peak memory too")
    made.add_argument("--dice", action="store_true", help="tissue classes too (minutes a row)")
    made.add_argument("--clean", action="store_true", help="leave out the scans with noise (half the time)")
    made.add_argument("--json", type=Path, help="a file that keeps the rows; new ones replace theirs")
    arguments = made.parse_args()
    for row in table(arguments):
        if arguments.json:
            keep(row, arguments.json)


def keep(row: dict[str, Any], path: Path) -> None:
    """Puts a row into the file of rows, in the order of heads, modes and models."""
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    known = {(r["mode"], r["head"], r["name"]): r for r in rows}
    key = row["mode"], row["head"], row["name"]
    known[key] = {**known.get(key, {}), **row}
    names = ["bspline", "spline", "consensus", *model_names()]
    order = {(m, h, n): i for i, (m, h, n) in enumerate(product(MODES, TEST_HEADS, names))}
    kept = sorted(
        (r for k, r in known.items() if k in order), key=lambda r: order[r["mode"], r["head"], r["name"]]
    )
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def table(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The rows, printed as they come."""
    costs = ("M par.", "kMAC/vox", *(("s", "GiB") if arguments.time else ()))
    for head, mode in product(choose(arguments), arguments.modes):
        whole, (_, psf, scale) = load(arguments.data, head), MODES[mode]
        spacing = whole.grid.spacing
        scan, truth = scanned(truth_of(arguments.data, head), mode)
        sigma = NOISE / 100 * float(np.percentile(whole.data, 99.5))
        noisy, _ = scanned(middle(whole), mode, sigma)
        tissues = classify_tissues(central(truth.data)) if arguments.dice and head in BRAINS else None
        print(f"\n{head}, {mode}\n{'':18}" + " ".join(f"{c:>8}" for c in (*costs, *COLUMNS)))
        for name in wanted(arguments.models, scale):
            row = {"head": head, "mode": mode, "name": name, **cost(name, scale)}
            if arguments.time:
                made, spent = alone(arguments.data, head, mode, name)
                row |= spent
            else:
                made = make(name, scan, spacing, psf)
            row |= score(made, truth if head in WHOLE else whole)
            if not arguments.clean:
                image = reconstruct(noisy, spacing, noise=sigma, **options(name, psf)).volume.data
                row["noisy"] = central_psnr(placed(image, whole.data), whole.data)
            if tissues is not None:
                row["dice"] = dice(classify_tissues(central(made.image)), tissues)
            shown = [row.get(c) for c in (*costs, *COLUMNS)]
            print(
                f"{name:18}" + " ".join(f"{'' if v is None else format(v, '8.4g'):>8}" for v in shown), flush=True
            )
            yield row


def truth_of(data: Path | None, head: str) -> Volume:
    """A head as the table has it: whole, or its middle."""
    return load(data, head) if head in WHOLE else middle(load(data, head))


def scanned(truth: Volume, mode: str, noise: float = 0.0) -> tuple[Volume, Volume]:
    """A scan of `truth` (noise: its standard deviation), and the truth on the grid of what is made of it."""
    ratio, psf, _ = MODES[mode]
    spacing = truth.grid.spacing
    coarse = [s * r for s, r in zip(spacing, ratio, strict=True)]
    scan = simulate_lowres(truth, spacing=coarse, psf=psf, noise=noise, noise_unit="absolute", seed=1)
    return scan, crop_to(truth, plan_acquisition(scan, spacing=spacing, psf=psf, noise=0.0).fine)


def placed(x: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """An image of the middle of a head in the head as it is, so that the peak is that of the whole head."""
    start = [(n - m) // 2 for n, m in zip(truth.shape, x.shape, strict=True)]
    whole = truth.copy()
    whole[tuple(slice(s, s + m) for s, m in zip(start, x.shape, strict=True))] = x
    return whole


def wanted(chosen: list[str] | None, scale: tuple[int, int]) -> list[str]:
    """Methods and models that can do a scale."""
    names = ["bspline", "spline", *(n for n in ("consensus",) if n in cards())]
    for name in model_names():
        card, stage = model(name)
        if any(w.scale == scale and w.stage == stage for w in card.weights):
            names.append(name)
    return [n for n in names if chosen is None or n in chosen]


def cost(name: str, scale: tuple[int, int]) -> dict[str, Any]:
    """Parameters (millions), multiply-accumulates (thousands) a voxel (both reformats), and which weights."""
    if name in cards():
        return {}
    card, stage = model(name)
    weights = card.choose(scale, stage)
    passes = 2 if scale[1] == 1 else 1
    return {
        "sha256": weights.sha256,
        "M par.": weights.parameters / 1e6,
        "kMAC/vox": passes * macs_per_output_pixel(load_network(weights)) / 1e3,
    }


def options(name: str, psf: dict[str, str]) -> dict[str, Any]:
    """Of `reconstruct`, for a method or a model."""
    if name in cards():
        return {"method": name, "psf": psf}
    return {"method": "slicewise", "model": name, "psf": psf}


def score(made: Made, truth: Volume) -> dict[str, Any]:
    """The figures of one row: of the image, and of the network's proposal."""
    image = placed(made.image, truth.data)
    figures = evaluate(truth.with_data(image), truth, central=CENTRAL)
    row: dict[str, Any] = {"psnr": figures.psnr, "ssim": figures.ssim, "hfen": figures.hfen}
    if made.proposal is not None:
        row["raw"] = central_psnr(placed(made.proposal, truth.data), truth.data)
    return row | perception(image, truth.data)


@dataclass(frozen=True, eq=False)
class Made:
    """What a method or model makes of a scan without noise; of a model, its proposal before the projection too."""

    image: NDArray[np.float32]
    proposal: NDArray[np.float32] | None


def make(name: str, scan: Volume, spacing: tuple[float, float, float], psf: dict[str, str]) -> Made:
    """The image, as `reconstruct` makes it; the network runs once."""
    if name in cards():
        return Made(reconstruct(scan, spacing, noise=0.0, **options(name, psf)).volume.data, None)
    acquisition = plan_acquisition(scan, spacing=spacing, psf=psf, noise=0.0)
    y = torch.from_numpy(scan.data)
    proposal = raw(name, y, acquisition)
    return Made(Projection(acquisition.operator).project(proposal, y).numpy(), proposal.numpy())


def raw(name: str, y: torch.Tensor, acquisition: SliceAcquisition) -> torch.Tensor:
    """What the network proposes, before the projection."""
    refined = [a for a, p in enumerate(acquisition.psf) if p is not None]
    card, stage = model(name)
    network = load_network(card.choose((4, 1) if len(refined) == 1 else (2, 2), stage))
    return propose(network, y, refined, acquisition, no_progress)


def perception(x: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    """GMSD and sharpness over every fourth plane of the central box, all three directions."""
    peak = np.float32(np.percentile(truth, 99.5))
    made, right = (torch.from_numpy(np.ascontiguousarray(central(v) / peak)) for v in (x, truth))
    deviations, sharps = [], []
    for axis in range(3):
        a, b = (v.movedim(axis, 0)[::4, None] for v in (made, right))
        keep = b.flatten(1).std(1) > 0.05
        deviations.append(gmsd(a[keep], b[keep]))
        sharps.append(sharpness(a[keep]) / sharpness(b[keep]))
    return {"gmsd": float(torch.cat(deviations).mean()), "sharp": float(torch.cat(sharps).mean())}


def dice(made: NDArray[np.int8], right: NDArray[np.int8]) -> float:
    """Mean Dice of the three tissues."""
    each = [
        2 * np.sum((made == c) & (right == c)) / max(1, np.sum(made == c) + np.sum(right == c))
        for c in range(1, CLASSES + 1)
    ]
    return float(np.mean(each))


ALONE = """\
import re, sys, time
from pathlib import Path
import numpy as np
from pipelines.benchmarks.models import MODES, make, scanned, truth_of
data, head, mode, name, out = sys.argv[1:]
truth = truth_of(Path(data), head)
scan, _ = scanned(truth, mode)
start = time.process_time()
made = make(name, scan, truth.grid.spacing, MODES[mode][1])
seconds = time.process_time() - start
# not ru_maxrss, which begins at what the parent had
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(seconds, int(peak[1]) / 2**20)
np.savez(out, **{k: v for k, v in vars(made).items() if v is not None})
"""


def alone(data: Path, head: str, mode: str, name: str) -> tuple[Made, dict[str, float]]:
    """What is made by a process of its own on one thread, its CPU seconds and its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "made.npz"
        command = [sys.executable, "-c", ALONE, str(data), head, mode, name, str(out)]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | threads)
        seconds, gib = ran.stdout.split()[-2:]
        with np.load(out) as kept:
            made = Made(kept["image"], kept.get("proposal"))
    return made, {"s": float(seconds), "GiB": float(gib)}


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"\n{time.perf_counter() - started:.0f} s")
