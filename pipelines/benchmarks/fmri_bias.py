"""NRMSE against amplitude bias for every method and setting: ``python -m pipelines.benchmarks.fmri_bias``.

Either can be bought with the other: the temporal mean has the least error and no response. So every method is
shown at all its settings, on the selection runs of `fmri_runs` (heads of the split `val`), or with ``--test`` on
the test runs. ``-o FILE.svg`` draws the plot; the table is printed. "no hard layer" is what one step makes of the
gridded data. ``--ablations FOLDER`` holds the weights of `pipelines/benchmarks/recipes/spiral-fmri-*.toml`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medsr.acquisition.spiral import SpiralAcquisition
from medsr.evaluation.runs import score
from medsr.methods import spiral_fmri
from medsr.methods import spiral_fmri_dc as dc
from medsr.methods.base import no_progress
from medsr.methods.spiral_mean import load_deblur
from medsr.models.tensors import read_tensors
from medsr.networks.spiral_deblur import SpiralDeblur
from medsr.networks.spiral_prior import SpiralPrior, scaled
from medsr.networks.spiral_resnet import SpiralResNet
from pipelines.benchmarks.fmri_runs import SELECT, TEST, add_size, known, simulate, size_in_words, size_of
from pipelines.benchmarks.fmri_tune import METHODS, prepared, settings_of

COLOURS = ("#1b6ca8", "#d1495b", "#66a182", "#edae49", "#6a4c93", "#2e4057", "#8d99ae")
ABLATIONS = {
    "spiral-fmri-short": "300 steps",
    "spiral-fmri-alone": "300 steps, no sharing",
    "spiral-fmri-image": "300 steps, no k-space loss",
}
Solve = Callable[[SpiralAcquisition], Tensor]


def classical(names: list[str]) -> Iterator[tuple[str, str, Solve]]:
    """Method, setting in words, and what solves."""
    for name in names:
        method, base, _ = METHODS[name]
        for change in settings_of(name, []):
            label = ", ".join(f"{k} {v:g}" for k, v in change.items()) or "as in the code"
            yield name, label, partial(_classical, method, replace(base, **change))


def _classical(method: Any, settings: Any, a: SpiralAcquisition) -> Tensor:
    return method(a, no_progress, settings).data


def learned() -> Iterator[tuple[str, str, Solve]]:
    """`spiral-fmri-dc` as shipped, with more and fewer steps, wider and narrower, and its ablations."""
    network, layers = dc.load_network()
    sharp = load_deblur()

    def under(network: SpiralPrior, layers: dc.Layers, deblur: SpiralDeblur | None = sharp) -> Solve:
        return lambda a: dc.in_stretches(a, network, layers, no_progress, deblur)

    yield "spiral-fmri-dc", "as in the code", under(network, layers)
    for second in (6, 40):
        yield "spiral-fmri-dc", f"{second} steps", under(network, replace(layers, second=second))
    for factor in (0.3, 3.0):
        yield "spiral-fmri-dc", f"variance x{factor:g}", under(scaled(network, factor), layers)
    alone = SpiralPrior(shared=False).eval().requires_grad_(False)
    alone.load_state_dict(network.state_dict())
    yield "spiral-fmri-dc", "no sharing", under(alone, layers)
    yield "spiral-fmri-dc", "no hard layer", under(network, dc.Layers(1, 0))
    yield "spiral-fmri-dc", "not deblurred", under(network, layers, None)


def residual_network(ablations: Path | None) -> Iterator[tuple[str, str, Solve]]:
    """`spiral-fmri`, the paper's form, as shipped, and from other weights."""

    def by(network: SpiralResNet) -> Solve:
        return lambda a: spiral_fmri.through(a, network, no_progress)

    with torch.inference_mode():
        yield "spiral-fmri", "as in the code", by(spiral_fmri.load_network())
        for path in sorted(ablations.glob("spiral-fmri-*.safetensors")) if ablations else []:
            yield "spiral-fmri", ABLATIONS.get(path.stem, path.stem), by(spiral_fmri.made(*read_tensors(path)))


def over_runs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean of each method and setting over the runs, and the standard deviation of the bias between them."""
    found = []
    for method, setting in dict.fromkeys((r["method"], r["setting"]) for r in rows):
        here = [r for r in rows if (r["method"], r["setting"]) == (method, setting)]
        mean = {k: float(np.mean([r[k] for r in here])) for k in ("bias", "nrmse", "auc", "transfer")}
        found.append(
            {"method": method, "setting": setting, "spread": float(np.std([r["bias"] for r in here]))} | mean
        )
    return found


def drawn(rows: list[dict[str, Any]]) -> str:
    """The plot as SVG: |bias| in percent to the right, NRMSE upwards, from six times the least on at the edge."""
    width, height, edge = 640, 420, 72
    right = max(0.5, *(abs(r["bias"]) for r in rows))
    low = 0.9 * min(r["nrmse"] for r in rows)
    top = min(max(r["nrmse"] for r in rows), 6 * low)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<path d="M{edge} {edge / 2}V{height - edge}H{width - edge / 2}" fill="none" stroke="black"/>',
        f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle">|amplitude bias| in %</text>',
        f'<text x="14" y="{height / 2}" text-anchor="middle" transform="rotate(-90 14 {height / 2})">NRMSE</text>',
    ]

    def at(bias: float, nrmse: float) -> tuple[float, float]:
        x = edge + abs(bias) / right * (width - 1.5 * edge)
        nrmse = min(nrmse, top)  # beyond the edge: on it
        return x, height - edge - (nrmse - low) / max(top - low, 1e-9) * (height - 1.5 * edge)

    for i in range(6):
        x, _ = at(right * i / 5, low)
        _, y = at(0, low + (top - low) * i / 5)
        parts.append(
            f'<text x="{x:.0f}" y="{height - edge + 16}" text-anchor="middle">{20 * right * i:.0f}</text>'
        )
        parts.append(
            f'<text x="{edge - 6}" y="{y + 4:.0f}" text-anchor="end">{low + (top - low) * i / 5:.4f}</text>'
        )
    for number, name in enumerate(dict.fromkeys(r["method"] for r in rows)):
        colour = COLOURS[number % len(COLOURS)]
        for r in (r for r in rows if r["method"] == name):
            x, y = at(r["bias"], r["nrmse"])
            size = 6 if r["setting"] == "as in the code" else 3.5
            title = f"{name}, {r['setting']}: bias {r['bias']:+.1%}, NRMSE {r['nrmse']:.4f}"
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"><title>{title}</title></circle>'
            )
        parts.append(f'<text x="{width - 150}" y="{24 + 16 * number}" fill="{colour}">● {name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_size(parser)
    parser.add_argument(
        "--methods", nargs="*", choices=list(METHODS), default=list(METHODS), help="classical ones"
    )
    parser.add_argument("--settings", nargs="+", help='these alone, e.g. "as in the code" "variance x3"')
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--test", action="store_true", help="the test runs: once, at the end")
    parser.add_argument("--ablations", type=Path, help="folder of weights of spiral-fmri's ablations")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.svg")
    args = parser.parse_args()
    rows = []
    for chosen in (TEST if args.test else SELECT)[: args.runs]:
        run = known(simulate(chosen, args.data, size_of(args)))
        acquisition = prepared(run)
        print(f"{chosen.name}, {size_in_words(args)}", flush=True)
        for name, setting, solve in [
            *learned(),
            *residual_network(args.ablations),
            *classical(args.methods),
        ]:
            if args.settings and setting not in args.settings:
                continue
            x = solve(acquisition)
            f = score(run.truth.with_data(x.abs().numpy()[..., None]), run)
            row = {
                "bias": f.amplitude_bias or 0.0,
                "nrmse": f.nrmse,
                "auc": f.auc or 0.0,
                "transfer": f.transfer or 0.0,
            }
            rows.append({"method": name, "setting": setting} | row)
            print(
                f"{name:16}{setting:27} NRMSE {f.nrmse:.4f}, in time {f.nrmse_temporal:.3f}, bias "
                f"{f.amplitude_bias or 0:+.1%}, AUC {f.auc or 0:.3f}, FP {f.false_positives:.4f}, transfer "
                f"{f.transfer or 0:.3f}",
                flush=True,
            )
    rows = over_runs(rows)
    if args.runs > 1:
        print(f"\nmean of {args.runs} runs")
        for r in rows:
            print(
                f"{r['method']:16}{r['setting']:27} NRMSE {r['nrmse']:.4f}, bias {r['bias']:+.1%} "
                f"(sd {r['spread']:.1%}), AUC {r['auc']:.3f}, transfer {r['transfer']:.3f}"
            )
    if args.output is not None:
        args.output.write_text(drawn(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
