"""What k-space methods cost, in ten ``cg-sense`` iterations a frame: ``python -m pipelines.benchmarks.fmri_cost``.

One prepared slice of the first selection run; one thread; preparation left out for all. The unit is what ten
conjugate gradient steps on each frame cost (all coils, circulant preconditioner, from zero, the frame's set-up
included). All take turns and the least CPU time of each counts, so that other load meets all alike: compare the
ratios, not the times.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch

from medsr.consistency.tikhonov import Tikhonov, tikhonov_sense
from medsr.methods import cg_sense
from medsr.methods.base import no_progress
from medsr.methods.registry import load_series_method
from medsr.models.card import cards
from pipelines.benchmarks.fmri_runs import SELECT, add_size, known, simulate, size_in_words, size_of
from pipelines.benchmarks.fmri_tune import prepared

UNIT = "10 cg-sense iterations"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_size(parser)
    parser.add_argument("--methods", nargs="+", default=[c.name for c in cards().values() if c.kind == "kspace"])
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    a = prepared(known(simulate(SELECT[0], args.data, size_of(args))))
    ten = Tikhonov(cg_sense.TUNED.damping / a.undersampling, 10, 0.0, preconditioner="circulant")
    jobs: dict[str, Callable[[], object]] = {UNIT: lambda: tikhonov_sense(a.kspace, a.trajectories, a.maps, ten)}
    for name in args.methods:
        jobs[name] = partial(load_series_method(name), a, no_progress)
    least = dict.fromkeys(jobs, float("inf"))
    for _ in range(args.repeats):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            least[name] = min(least[name], time.process_time() - start)
    print(f"{size_in_words(args)}, {len(a.maps)} virtual coils")
    print(f"{'':24}{'CPU ms a frame':>16}{'ratio':>8}")
    for name, seconds in least.items():
        print(f"{name:24}{1e3 * seconds / a.frames:16.1f}{seconds / least[UNIT]:8.2f}")


if __name__ == "__main__":
    main()
