"""Peak memory against the number of frames: ``python -m pipelines.benchmarks.fmri_memory``.

Each case is a process of its own that reconstructs one slice of noise, 32 x 32, 4 coils, one of 8 interleaves a
frame, with a noise scan, from an array that the caller keeps. Printed is by how many MiB the peak has grown since
the first number of frames, beside what has to grow: the data and the working copy of the prepared slice
(complex64), trajectory (float32, and float64 in the working copy) and density weights, the series while it is
made (complex64) and the result (float32); and the rest. Methods that solve many frames together solve at most 512:
choose no fewer to start from.
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
from medsr.reconstruction_kspace import need
from medsr.volume import Grid

N, COILS, INTERLEAVES = 32, 4, 8
MIB = 2**20


def noise(frames: int) -> KSpace:
    leaf = variable_density_spiral(N, 0.22, INTERLEAVES)
    data = np.empty((1, frames, COILS, len(leaf.times)), dtype=np.complex64)
    np.random.default_rng(0).standard_normal(dtype=np.float32, out=data.view(np.float32))
    k = rotated(leaf.k, golden_angles(frames)).astype(np.float32)
    grid = Grid((N, N, 1), np.diag([7.0, 7.0, 3.0, 1.0]))
    covariance = 2 * np.eye(COILS) + 0.2
    return KSpace(data, k, leaf.times, grid, tr=1.0, te=0.03, noise=covariance.astype(np.complex128))


def parts(scan: KSpace) -> dict[str, float]:
    """MiB that have to be held for so many frames, and why."""
    samples = scan.trajectory.nbytes // 8
    voxels = scan.frames * N * N
    return {
        "data": scan.data.nbytes / MIB,
        "copy": scan.data.nbytes / MIB,
        "trajectory": samples * (8 + 16 + 4) / MIB,
        "series": 8 * voxels / MIB,
        "result": 4 * voxels / MIB,
    }


def main() -> None:
    kspace = {c.name: c for c in cards().values() if c.kind == "kspace"}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(kspace))
    parser.add_argument("--frames", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "FRAMES"), help="a single case, in this process")
    args = parser.parse_args()
    if args.one:
        medsr.reconstruct(noise(int(args.one[1])), method=args.one[0], threads=1)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    columns = list(parts(noise(1)))
    print(f"{'MiB':16}{'frames':>7}{'planned':>9}{'peak':>8}{'grown':>8}", end="")
    print("".join(f"{c:>{len(c) + 2}}" for c in columns) + f"{'rest':>7}")
    for method in args.methods:
        base: tuple[float, dict[str, float]] | None = None
        for frames in args.frames:
            command = [sys.executable, "-m", "pipelines.benchmarks.fmri_memory", "--one", method, str(frames)]
            peak = float(subprocess.run(command, check=True, capture_output=True).stdout.split()[-1])
            scan = noise(frames)
            held = parts(scan)
            base = base or (peak, held)
            grown, by = peak - base[0], {c: held[c] - base[1][c] for c in columns}
            print(f"{method:16}{frames:7d}{need(scan, kspace[method]) / MIB:9.0f}{peak:8.1f}{grown:8.1f}", end="")
            print(
                "".join(f"{by[c]:{len(c) + 2}.1f}" for c in columns) + f"{grown - sum(by.values()):7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
