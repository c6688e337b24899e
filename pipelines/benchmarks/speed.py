"""Seconds and memory of the image methods, beside SimpleITK's cubic B-spline on the same work in the same run.

    python -m pipelines.benchmarks.speed [--image FILE] [--runs 5] [--threads N]

Arrays to arrays: a head is reduced by 2 along each axis, and each method brings it back. The median of the runs
stands beside its ratio to SimpleITK's; each method's peak memory is that of a process of its own which makes a
256 x 256 x 180 result from 4 mm slices. Say what else the machine was doing when you quote it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from medsr import Volume, open_volume
from medsr.acquisition.slices import SliceAcquisition, plan_acquisition
from medsr.methods.base import Method, no_progress
from medsr.methods.consensus import consensus
from medsr.methods.registry import load_method
from medsr.models.card import cards
from medsr.simulation.lowres import simulate_lowres

SAMPLE = Path(__file__).parents[2] / "tests" / "data" / "colin27_1x1x4mm.nii.gz"

PEAK = """
import sys, numpy as np, psutil, threading, time
from medsr import Grid, Volume, reconstruct
rng = np.random.default_rng(0)
shape = (256, 256, 45)
scan = Volume(rng.uniform(50, 100, shape).astype(np.float32), Grid(shape, np.diag([1.0, 1, 4, 1])))
me, peak, stop = psutil.Process(), [0], []
def watch():
    while not stop:
        peak[0] = max(peak[0], me.memory_info().rss)
        time.sleep(0.002)
thread = threading.Thread(target=watch); thread.start()
result = reconstruct(scan, method=sys.argv[1])
stop.append(1); thread.join()
assert result.volume.grid.shape == (256, 256, 180)
print(peak[0])
"""


def main() -> None:
    """Prints one line a method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, default=SAMPLE, help="an image; default: the shipped sample")
    parser.add_argument("--methods", nargs="+", help="default: all")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--noise", type=float, default=2.0, help="percent; with 0 the noise filter is not run")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)
    head = open_volume(arguments.image)
    half = [2 * s for s in head.grid.spacing]
    scan = simulate_lowres(head, spacing=half, psf="kspace", noise=arguments.noise)
    acquisition = plan_acquisition(scan, spacing=head.grid.spacing)
    shape = " x ".join(map(str, acquisition.fine.shape))
    print(f"{arguments.image.name}, x2 to {shape}; {arguments.threads} threads; load {_load()}")
    base = _median(_simpleitk(scan, acquisition), arguments.runs)
    print(f"{'SimpleITK BSpline':20} {base:7.3f} s  1.00x")
    methods = {c.name: load_method(c.name) for c in cards().values() if c.kind == "image"}
    named = arguments.methods or list(methods)
    if "consensus" in named:
        fast = partial(consensus, fast=True)
        seconds = _median(_work(fast, scan, acquisition), arguments.runs)
        print(f"{'consensus, one view':20} {seconds:7.3f} s  {seconds / base:.2f}x", flush=True)
    for name in named:
        seconds = _median(_work(methods[name], scan, acquisition), arguments.runs)
        peak = int(subprocess.run([sys.executable, "-c", PEAK, name], check=True, capture_output=True).stdout)
        print(f"{name:20} {seconds:7.3f} s  {seconds / base:.2f}x  peak {peak / 2**30:.2f} GiB at 256 x 256 x 180")


def _work(method: Method, scan: Volume, acquisition: SliceAcquisition) -> Callable[[], object]:
    y = torch.from_numpy(scan.data)
    return lambda: method(y, _fresh(acquisition), no_progress)


def _fresh(acquisition: SliceAcquisition) -> SliceAcquisition:
    """A copy without what earlier runs cached: the decompositions count."""
    return SliceAcquisition(
        acquisition.measured, acquisition.fine, acquisition.target, acquisition.psf, acquisition.noise
    )


def _simpleitk(scan: Volume, acquisition: SliceAcquisition) -> Callable[[], object]:
    """Cubic B-spline resampling of the same array to the same grid."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(scan.data.T))
    image.SetSpacing(scan.grid.spacing)
    fine = acquisition.fine
    origin = [
        ((m - 1) * d - (n - 1) * h) / 2
        for m, d, n, h in zip(scan.grid.shape, scan.grid.spacing, fine.shape, fine.spacing, strict=True)
    ]

    def run() -> object:
        return sitk.GetArrayViewFromImage(
            sitk.Resample(
                image,
                fine.shape,
                sitk.Transform(),
                sitk.sitkBSpline,
                origin,
                fine.spacing,
                image.GetDirection(),
                0.0,
                sitk.sitkFloat32,
            )
        )

    return run


def _median(work: Callable[[], object], runs: int) -> float:
    work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    main()
