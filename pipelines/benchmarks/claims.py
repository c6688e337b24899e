"""The claims of the papers, tested on MR: ``python -m pipelines.benchmarks.claims RUNS [--json FILE]``.

With --data FOLDER, RUNS is filled first: each recipe from each seed, shortened, in a folder of its name and seed
(gcn-through4-final-s2); what is there already is passed over. Final stages start from the shipped pixel stage
(GCN), or from the run of the same seed that trained all passes (EUSR, whose shipped weights have one branch).

Each claim is a comparison of two recipes that differ in one thing and saw as many patches. The figures are those
of the selection subjects at the end of a run: PSNR over `spline`, dB, and GMSD (less is better). The answer is
"yes" or "no" where the means of two seeds or more differ by more than the greater spread (largest less smallest)
of the two; else "undecided". Nothing is tuned here.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from medsr.models.slices import weights_folder
from medsr.training.slices.checkpoint import starting_weights
from medsr.training.slices.loop import CHECKPOINT, train
from medsr.training.slices.recipe import SliceRecipe, read_recipe, slice_recipe

CLAIMS = {
    "GCN: domain features beat generic ones (both fixed)": (
        "gcn-through4-final-disjoint",
        "gcn-through4-final-random",
    ),
    "GCN: domain features learned with the generator beat fixed ones": (
        "gcn-through4-final",
        "gcn-through4-final-disjoint",
    ),
    "GCN: domain features beat pixels": ("gcn-through4-final", "gcn-through4-final-identity"),
    "GCN: domain features beat a discriminator's": ("gcn-through4-final", "gcn-through4-final-discriminator"),
    "multitask: segmentation helps super-resolution": ("multitask-through4", "multitask-through4-alone"),
    "4PP-EUSR: multi-pass upscaling helps, pixel stage": ("eusr-through4-passes", "eusr-through4"),
    "4PP-EUSR: multi-pass upscaling helps, final stage": ("eusr-through4-final", "eusr-through4-final-straight"),
    "DRUDN: recursion is worth it at the same parameters": ("drudn-through4", "drudn-through4-once"),
    "SCRSR: recursion is worth it at the same parameters": ("scrsr-through4", "scrsr-through4-once"),
}
"""What is claimed, and the recipes with and without it."""
FIGURES = {"gain_db": 1, "gmsd": -1}
"""Figures of a run, and whether more (1) or less (-1) is better."""
NAMES = {"gain_db": "PSNR over `spline` (dB)", "gmsd": "GMSD"}


SEEDS = (1, 2)
STEPS = {"pixel": 1250, "final": 300}
"""Of the shortened runs."""


@dataclass(frozen=True)
class Sample:
    """The figure of several seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def spread(self) -> float:
        return max(self.values) - min(self.values)

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.spread / 2:.4f} ({len(self.values)})" if self.values else "not run"


def main() -> None:
    """Prints one line a claim and figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", metavar="RUNS", type=Path)
    parser.add_argument("--json", type=Path, help="a file for the lines, from which the README is made")
    parser.add_argument(
        "--data", type=Path, help="folder of the training data: the runs that are not there are made"
    )
    arguments = parser.parse_args()
    if arguments.data:
        fill(arguments.runs, arguments.data)
    found = lines(arguments.runs)
    print(table(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def fill(runs: Path, data: Path) -> None:
    """Makes the runs that are not there."""
    recipes = {name: slice_recipe(name, read_recipe(name)) for pair in CLAIMS.values() for name in pair}
    # the pixel stages first: final ones start from them
    for name, seed in product(sorted(recipes, key=lambda n: recipes[n].stage, reverse=True), SEEDS):
        recipe = replace(recipes[name], seed=seed, steps=STEPS[recipes[name].stage])
        out = runs / f"{name}-s{seed}"
        log = out / "log.json"
        if log.is_file() and json.loads(log.read_text(encoding="utf-8"))[-1]["step"] >= recipe.steps:
            continue
        print(out.name, flush=True)
        start = starting_weights(started_from(recipe, runs)) if recipe.stage == "final" else None
        train(recipe, data, out, print, start=start, resume=True)


def started_from(recipe: SliceRecipe, runs: Path) -> Path:
    """The weights that a final stage starts from."""
    if recipe.network == "eusr":
        return runs / f"eusr-through4-passes-s{recipe.seed}" / CHECKPOINT
    return weights_folder() / f"{recipe.network}-through4.safetensors"


def lines(runs: Path) -> list[dict[str, Any]]:
    """A claim and figure each: the figures of the seeds with and without it, the patches they saw, the answer."""
    found = []
    for claim, recipes in CLAIMS.items():
        for figure, better in FIGURES.items():
            a, b = (sample(runs, recipe, figure) for recipe in recipes)
            seen = sorted({n for recipe in recipes for n in sample(runs, recipe, "patches").values})
            found.append(
                {"claim": claim, "figure": figure, "patches": [int(n) for n in seen], "with": a.values}
                | {"without": b.values, "answer": answer(a, b, better) if len(seen) == 1 else "undecided"}
            )
    return found


def table(found: list[dict[str, Any]]) -> str:
    """The lines as a Markdown table."""
    rows = ["| claim | patches | figure | with | without | answer |", "|---|---|---|---|---|---|"]
    for line in found:
        with_it, without = (Sample(tuple(line[key])) for key in ("with", "without"))
        patches = ", ".join(map(str, line["patches"]))
        cells = (line["claim"], patches, NAMES[line["figure"]], str(with_it), str(without), line["answer"])
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def sample(runs: Path, recipe: str, figure: str) -> Sample:
    """A figure of the finished runs of a recipe."""
    values = []
    for folder in sorted(runs.iterdir()):
        log = folder / "log.json"
        if re.fullmatch(re.escape(recipe) + r"(-s\d+)?", folder.name) and log.is_file():
            last = json.loads(log.read_text(encoding="utf-8"))[-1]
            values.append(float({**last, **last["figures"]}[figure]))
    return Sample(tuple(values))


def answer(with_it: Sample, without: Sample, better: int) -> str:
    """Whether it helps, as far as the seeds can tell."""
    if min(len(with_it.values), len(without.values)) < 2:
        return "undecided"
    difference = better * (with_it.mean - without.mean)
    if abs(difference) <= max(with_it.spread, without.spread):
        return "undecided"
    return "yes" if difference > 0 else "no"


if __name__ == "__main__":
    main()
