"""The heads that the benchmarks are run on, and how a result is scored. Shared by the commands of this folder."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsr import Volume, open_volume
from medsr.simulation.lowres import crop_to

TEST_HEADS = {
    "Colin27": "structural/colin27_ch2_T1.nii.gz",
    "niimath": "structural/rorden/niimath_T1_0p8mm.nii.gz",
    "M2265": "structural/arc_T2/M2265_T2w.nii.gz",
}
"""Split `test` of data_manifests: never trained on, never chosen by."""

VAL_HEADS = {
    "ds000011-04": "structural/ds000011/sub-04_T1w.nii.gz",
    "coreg_qa": "structural/rorden/coreg_qa_highres_T1.nii.gz",
    "ds002748-27": "structural/ds002748/sub-27_T1w.nii.gz",
}
"""Split `val`: by which training is watched and settings are chosen."""

CENTRAL = 120
FOREGROUND = 0.05


def parser(description: str) -> argparse.ArgumentParser:
    """Options that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("MEDSR_DATA"),
        help="folder of the research data (data_manifests); default: the environment variable MEDSR_DATA",
    )
    made.add_argument("--heads", nargs="+", choices=[*TEST_HEADS, *VAL_HEADS], help="default: all of the split")
    made.add_argument("--val", action="store_true", help="the heads of the split `val`")
    return made


def choose(arguments: argparse.Namespace) -> list[str]:
    """The heads that were asked for."""
    return arguments.heads or list(VAL_HEADS if arguments.val else TEST_HEADS)


def load(data: Path | None, name: str) -> Volume:
    """A test head; the benchmark stops where the data are not there."""
    path = Path(data or "") / (TEST_HEADS | VAL_HEADS)[name]
    if data is None or not path.exists():
        sys.exit(f"{path}: not there; name the data folder with --data or MEDSR_DATA")
    return open_volume(path)


def middle(head: Volume, size: int = CENTRAL + 24) -> Volume:
    """The middle of a head, where a benchmark that makes many reconstructions would take too long on all of it."""
    kept = [min(n, size) for n in head.grid.shape]
    start = [(n - m) // 2 for n, m in zip(head.grid.shape, kept, strict=True)]
    return crop_to(head, head.grid.cut(start, kept))


def central(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The central box of an image: `CENTRAL` voxels of each axis."""
    return x[tuple(slice(max(0, (n - CENTRAL) // 2), max(0, (n - CENTRAL) // 2) + CENTRAL) for n in x.shape)]


def central_psnr(x: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """PSNR in dB: peak the truth's 99.5th percentile, over voxels above 5 % of it in the central 120³."""
    peak = float(np.percentile(truth, 99.5))
    made, right = central(x), central(truth)
    mask = right > FOREGROUND * peak
    return float(10 * np.log10(peak**2 / np.mean(np.square(made - right, dtype=np.float64)[mask])))
