"""Peak memory against the number of frames: ``python -m pipelines.benchmarks.fmri_memory``.

Each case is a process of its own that reconstructs one slice of noise, 32 x 32, 4 coils, one of 8 interleaves a
frame. Printed are the peak above that of a run of 64 frames, and what data (complex64) and result (float32)
grew by.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

import numpy as np

import medsr
from medsr.acquisition.trajectory import golden_angles, rotated, variable_density_spiral
from medsr.measurement import KSpace
from medsr.models.card import cards
from medsr.volume import Grid

N, COILS, INTERLEAVES = 32, 4, 8


def noise(frames: int) -> KSpace:
    leaf = variable_density_spiral(N, 0.22, INTERLEAVES)
    rng = np.random.default_rng(0)
    data = rng.standard_normal((2, 1, frames, COILS, len(leaf.times)), dtype=np.float32)
    k = rotated(leaf.k, golden_angles(frames)).astype(np.float32)
    grid = Grid((N, N, 1), np.diag([7.0, 7.0, 3.0, 1.0]))
    return KSpace((data[0] + 1j * data[1]).astype(np.complex64), k, leaf.times, grid, tr=1.0, te=0.03)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=[c.name for c in cards().values() if c.kind == "kspace"])
    parser.add_argument("--frames", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "FRAMES"), help="a single case, in this process")
    args = parser.parse_args()
    if args.one:
        scan = noise(int(args.one[1]))
        result = medsr.reconstruct(scan, method=args.one[0], threads=1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(peak, (scan.data.nbytes + scan.trajectory.nbytes + result.volume.data.nbytes) / 2**20)
        return
    print(f"{'':18}{'frames':>8}{'peak MiB':>10}{'grown by':>10}{'data, result':>14}")
    for method in args.methods:
        base = None
        for frames in [64, *args.frames]:
            command = [sys.executable, "-m", "pipelines.benchmarks.fmri_memory", "--one", method, str(frames)]
            peak, held = map(float, subprocess.run(command, check=True, capture_output=True).stdout.split()[-2:])
            base = base or (peak, held)
            print(f"{method:18}{frames:8d}{peak:10.1f}{peak - base[0]:10.1f}{held - base[1]:14.1f}", flush=True)


if __name__ == "__main__":
    main()
