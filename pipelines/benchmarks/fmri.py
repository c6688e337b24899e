"""The k-space methods on runs that no setting was chosen by: ``python -m pipelines.benchmarks.fmri``.

96 x 96, 16 coils, one of 20 interleaves a frame (20-fold acceleration), unseen heads, activation, noise and
physiology (`fmri_runs.TEST`): a block design, events, a null run, 60 Hz of off-resonance that nobody corrects, and
a measured trajectory (one of its four interleaves a frame). Every method at the settings in its code; with
`--sweep` also at others, for image error and response can be traded: points of NRMSE against amplitude bias.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from medsr.evaluation.pictures import comparison
from medsr.evaluation.runs import KnownRun, compare, render_rows, score
from medsr.models.card import cards
from pipelines.benchmarks import fmri_rows
from pipelines.benchmarks.fmri_bias import classical
from pipelines.benchmarks.fmri_runs import TEST, add_size, keep, known, simulate, size_in_words, size_of
from pipelines.benchmarks.fmri_tune import METHODS, prepared


def sweep(run: KnownRun, methods: list[str]) -> list[dict[str, Any]]:
    """Each setting of each method: its figures."""
    acquisition = prepared(run)
    rows = []
    for name, words, solve in classical([m for m in methods if m in METHODS]):
        figures = score(run.truth.with_data(solve(acquisition).abs().numpy()[..., None]), run)
        rows.append({"method": f"{name}: {words}"} | figures.as_dict())
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_size(parser)
    parser.add_argument("--methods", nargs="+", default=[c.name for c in cards().values() if c.kind == "kspace"])
    parser.add_argument("--runs", nargs="+", choices=[r.name for r in TEST], default=[r.name for r in TEST])
    parser.add_argument("--field-map", action="store_true", help="tell the methods the static field")
    parser.add_argument("--sweep", action="store_true", help="other settings too (long)")
    parser.add_argument(
        "--out", type=Path, help="folder for a picture a run, the raw data and all figures as JSON"
    )
    parser.add_argument(
        "--json", type=Path, help="rows to renew or to add to, e.g. pipelines/benchmarks/fmri.json"
    )
    args = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    for run in TEST:
        if run.name not in args.runs:
            continue
        simulated = simulate(run, args.data, size_of(args))
        case = known(simulated)
        field = simulated.field if args.field_map else None
        scored = compare(case, args.methods, threads=torch.get_num_threads(), field_map=field)
        rows = [s.row() for s in scored]
        print(
            f"\n{run.name} ({size_in_words(args)})\n{render_rows(rows)}",
            end="",
            flush=True,
        )
        if args.json is not None:
            fmri_rows.write(args.json, run.name, size_in_words(args), rows)
        if args.sweep:
            more = sweep(case, args.methods)
            print(render_rows(more), end="", flush=True)
            rows += more
        found[run.name] = rows
        if args.out is not None:
            keep(simulated, args.out, run.stem)
            (args.out / f"{run.stem}.png").write_bytes(comparison(case, scored))
            (args.out / "figures.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
