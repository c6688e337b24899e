"""The table of the 2D models: ``python -m pipelines.benchmarks.models --data FOLDER``.

    python -m pipelines.benchmarks.models --data FOLDER [--heads Colin27] [--time] [--dice] [--json FILE]

Scans are simulated from the test heads: x4 through-plane (gaussian slices, no gap, along z) and x2 in-plane (x
and y by truncated Fourier space), without noise and with 2 %. Beside every trained model stand `bspline` and
`spline`, and `consensus` where it is there. PSNR and HFEN as `medsr evaluate` has them, over the foreground of
the central 120 voxels of each axis; `raw` is the PSNR of what the network proposes, before the projection. GMSD
(less is better; the mean over sagittal, coronal and axial planes of the central box) and sharpness (over the
truth's; 1 is right) are the perceptual figures. Dice is the mean over CSF, grey and white matter of a tissue
classification of the result against the same of the truth (DIPY's hidden Markov random field; brains without a
skull only: niimath). With --time each row is made by a process of its own on one thread: its CPU seconds, from
the scan to the projected image, and its peak memory, the head and the libraries included.
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
from pipelines.benchmarks.heads import CENTRAL, TEST_HEADS, central_psnr, load, parser

MODES = {"x4 through": ((1, 1, 4), {"z": "gaussian"}, (4, 1)), "x2 in-plane": ((2, 2, 1), {"*": "kspace"}, (2, 2))}
BRAINS = ("niimath",)
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
    for mode in arguments.modes:
        ratio, psf, scale = MODES[mode]
        for head in arguments.heads:
            truth = load(arguments.data, head)
            spacing = truth.grid.spacing
            coarse = [s * r for s, r in zip(spacing, ratio, strict=True)]
            scan, noisy = (
                simulate_lowres(truth, spacing=coarse, psf=psf, noise=percent, seed=1) for percent in (0, 2)
            )
            reference = crop_to(truth, plan_acquisition(scan, spacing=spacing, psf=psf, noise=0.0).fine)
            tissues = classified(reference.data) if arguments.dice and head in BRAINS else None
            print(f"\n{head}, {mode}\n{'':18}" + " ".join(f"{c:>8}" for c in (*costs, *COLUMNS)))
            for name in wanted(arguments.models, scale):
                row = {"head": head, "mode": mode, "name": name, **cost(name, scale)}
                if arguments.time:
                    made, spent = alone(arguments.data, head, mode, name)
                    row |= spent
                else:
                    made = make(name, scan, spacing, psf)
                with_noise = None
                if not arguments.clean:
                    sigma = 0.02 * float(np.percentile(reference.data, 99.5))
                    with_noise = reconstruct(noisy, spacing, noise=sigma, **options(name, psf)).volume.data
                row |= score(made, with_noise, reference)
                if tissues is not None:
                    row["dice"] = dice(made.image, tissues)
                shown = [row.get(c) for c in (*costs, *COLUMNS)]
                print(
                    f"{name:18}" + " ".join(f"{'' if v is None else format(v, '8.4g'):>8}" for v in shown),
                    flush=True,
                )
                yield row


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


def score(made: Made, noisy: NDArray[np.float32] | None, truth: Volume) -> dict[str, Any]:
    """The figures of one row: of the image, of the network's proposal, of the image from the noisy scan."""
    figures = evaluate(truth.with_data(made.image), truth, central=CENTRAL)
    row: dict[str, Any] = {"psnr": figures.psnr, "ssim": figures.ssim, "hfen": figures.hfen}
    if made.proposal is not None:
        row["raw"] = central_psnr(made.proposal, truth.data)
    if noisy is not None:
        row["noisy"] = central_psnr(noisy, truth.data)
    return row | perception(made.image, truth.data)


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
    box = tuple(slice(max(0, (n - CENTRAL) // 2), max(0, (n - CENTRAL) // 2) + CENTRAL) for n in truth.shape)
    peak = np.float32(np.percentile(truth, 99.5))
    made, right = (torch.from_numpy(np.ascontiguousarray(v[box] / peak)) for v in (x, truth))
    deviations, sharps = [], []
    for axis in range(3):
        a, b = (v.movedim(axis, 0)[::4, None] for v in (made, right))
        keep = b.flatten(1).std(1) > 0.05
        deviations.append(gmsd(a[keep], b[keep]))
        sharps.append(sharpness(a[keep]) / sharpness(b[keep]))
    return {"gmsd": float(torch.cat(deviations).mean()), "sharp": float(torch.cat(sharps).mean())}


def classified(truth: NDArray[np.float32]) -> NDArray[np.int8]:
    """The tissues of the truth."""
    from medsr.training.slices.tissues import classify_tissues

    return classify_tissues(truth)


def dice(x: NDArray[np.float32], right: NDArray[np.int8]) -> float:
    """Mean Dice of the three tissues of `x` against those of the truth."""
    from medsr.training.slices.tissues import CLASSES, classify_tissues

    made = classify_tissues(x)
    each = [
        2 * np.sum((made == c) & (right == c)) / max(1, np.sum(made == c) + np.sum(right == c))
        for c in range(1, CLASSES + 1)
    ]
    return float(np.mean(each))


ALONE = """\
import re, sys, time
from pathlib import Path
import numpy as np
from medsr.simulation.lowres import simulate_lowres
from pipelines.benchmarks.heads import load
from pipelines.benchmarks.models import MODES, make
data, head, mode, name, out = sys.argv[1:]
ratio, psf, _ = MODES[mode]
truth = load(Path(data), head)
scan = simulate_lowres(truth, spacing=[s * r for s, r in zip(truth.grid.spacing, ratio)], psf=psf)
start = time.process_time()
made = make(name, scan, truth.grid.spacing, psf)
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
