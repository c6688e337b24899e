"""Settings of the classical k-space methods by selection runs: ``python -m pipelines.benchmarks.fmri_tune``.

The runs are those of `fmri_runs.SELECT`: other heads, slices, seeds, activation and physiology than the tests'.
Each method's settings are varied one at a time around those in its code, which were arrived at in the same way.
Printed is the mean over the runs, and the choice: the least NRMSE among the settings whose |bias| is within 5
points of the least that the method reaches.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from medsr.acquisition.preparation import Preparation, Prepared
from medsr.acquisition.spiral import SpiralAcquisition
from medsr.evaluation.runs import KnownRun, score
from medsr.methods import cg_sense, kt, l1_wavelet, lowrank, sliding_window
from medsr.methods.base import no_progress
from pipelines.benchmarks.fmri_runs import SELECT, add_size, known, simulate, size_in_words, size_of

CLOSE = 0.05

METHODS: dict[str, tuple[Callable[..., Any], Any, dict[str, Sequence[float]]]] = {
    "sliding-window": (
        sliding_window.sliding_window,
        sliding_window.TUNED,
        {"width": (0.5, 0.65, 1.0, 1.05, 1.3, 2.0)},
    ),
    "cg-sense": (cg_sense.cg_sense, cg_sense.TUNED, {"damping": (0.003, 0.01, 0.03, 0.1, 0.3)}),
    "l1-wavelet": (l1_wavelet.l1_wavelet, l1_wavelet.TUNED, {"damping": (3e-4, 1e-3, 3e-3, 1e-2)}),
    "lowrank": (
        lowrank.lowrank,
        lowrank.TUNED,
        {"threshold": (0.03, 0.1, 0.3, 1.0), "coupling": (0.03, 0.3), "block": (6, 12)},
    ),
    "kt": (
        kt.kt,
        kt.TUNED,
        {
            "change": (0.15, 0.6),
            "corner": (0.015, 0.02, 0.05),
            "power": (2.0, 6.0),
            "smooth": (0.0, 1.0, 2.0, 4.0, 8.0),
            "detail": (5.0, 10.0, 20.0, 40.0),
            "floor": (0.05, 0.2),
            "static": (0.02, 0.1),
            "iterations": (10, 20),
        },
    ),
}


def prepared(run: KnownRun) -> SpiralAcquisition:
    return Prepared(run.scan, Preparation(workers=torch.get_num_threads())).slice(0)


def settings_of(name: str, only: Sequence[str]) -> list[dict[str, float]]:
    """The settings in the code, and each parameter at its other values."""
    _, base, grid = METHODS[name]
    found: list[dict[str, float]] = [{}]
    for parameter, values in grid.items():
        if not only or parameter in only:
            found += [{parameter: v} for v in values if v != getattr(base, parameter)]
    return found


def choose(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    least = min(r["bias"] for r in rows)
    return min((r for r in rows if r["bias"] <= least + CLOSE), key=lambda r: r["nrmse"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_size(parser)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--parameters", nargs="+", default=[], help="only these")
    parser.add_argument("--at", default="{}", help="JSON of settings to vary around, in place of the code's")
    parser.add_argument("--runs", type=int, default=2)
    args = parser.parse_args()
    runs = [known(simulate(run, args.data, size_of(args))) for run in SELECT[: args.runs]]
    ready = [prepared(run) for run in runs]
    print(
        f"{size_in_words(args)} of {', '.join(r.name for r in SELECT[: args.runs])}",
        flush=True,
    )
    for name in args.methods:
        method, base, _ = METHODS[name]
        base = replace(base, **json.loads(args.at))
        print(f"\n{name}: {base}")
        print(
            f"{'':32}{'NRMSE':>8}{'in time':>9}{'|bias|':>8}{'AUC':>7}{'FP':>8}{'transfer':>9}{'s':>7}", flush=True
        )
        rows = []
        for change in settings_of(name, args.parameters):
            start = time.perf_counter()
            figures = []
            for run, acquisition in zip(runs, ready, strict=True):
                x = method(acquisition, no_progress, replace(base, **change)).data
                figures.append(score(run.truth.with_data(x.abs().numpy()[..., None]), run))
            row = {
                "change": change,
                "nrmse": float(np.mean([f.nrmse for f in figures])),
                "temporal": float(np.mean([f.nrmse_temporal for f in figures])),
                "bias": float(np.mean([abs(f.amplitude_bias or 0.0) for f in figures])),
                "auc": float(np.mean([f.auc or 0.0 for f in figures])),
                "fp": float(np.mean([f.false_positives for f in figures])),
                "transfer": float(np.mean([f.transfer or 0.0 for f in figures])),
            }
            rows.append(row)
            label = ", ".join(f"{k} {v:g}" for k, v in change.items()) or "as in the code"
            print(
                f"{label:32}{row['nrmse']:8.4f}{row['temporal']:9.3f}{row['bias']:8.1%}{row['auc']:7.3f}"
                f"{row['fp']:8.4f}{row['transfer']:9.3f}{time.perf_counter() - start:7.1f}",
                flush=True,
            )
        best = choose(rows)["change"]
        print(f"chosen: {', '.join(f'{k} {v:g}' for k, v in best.items()) or 'as in the code'}", flush=True)


if __name__ == "__main__":
    main()
