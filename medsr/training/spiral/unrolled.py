"""Training of `spiral-fmri-dc`: through the consistency layers, on whole runs."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from medsr.errors import InputError
from medsr.methods.spiral_fmri_dc import Layers, Start, begin, fewer_coils, mean_image, unrolled
from medsr.networks.spiral_prior import SpiralPrior, scaled
from medsr.training import checkpoint
from medsr.training.spiral.loss import Weights, image_loss, response_error, temporal_error
from medsr.training.spiral.moments import fit_moments
from medsr.training.spiral.recipe import SpiralRecipe, heads_of
from medsr.training.spiral.runs import TrainingRun, load_runs, truths
from medsr.training.step import descend, follow, tell


@dataclass(frozen=True, eq=False)
class Case:
    """A run, and what is known of it before its changes are."""

    run: TrainingRun
    known: Start

    def to(self, device: str) -> Case:
        """On an accelerator; the CPU's is left as it is."""
        return self if device == "cpu" else Case(self.run.to(device), self.known.to(device))


VAL_SEEDS = 9000
"""Seeds of the runs that choose."""


def train(
    recipe: SpiralRecipe,
    data: Path,
    out: Path,
    say: Callable[[str], None],
    most_seconds: float = math.inf,
    *,
    start: Mapping[str, Tensor] | None = None,
    device: str = "cpu",
    workers: int = 1,
) -> None:
    """Trains (or goes on training) the prior and leaves weights, log and checkpoint in `out`.

    One simulated run a step: the logarithm of the temporal error of its magnitudes, the error of its mean response
    (`image_loss`) and the misfit in k-space, ``‖A x - y‖² / (σ² N)``, differentiated through the steps of both
    consistency layers. Training begins from the moments of the simulated truths.

    start : weights to begin from, in place of those moments. device : what computes the steps. workers : processes
    that simulate the runs, threads that begin them.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = SpiralPrior(**recipe.network)
    step, log = 0, []
    heads, saved = heads_of(data, recipe.heads, recipe.whole), out / "checkpoint.safetensors"
    if not heads:
        raise InputError("no heads to simulate runs of", hint="check the recipe's files and --data")
    if start is not None:
        begin_from(network, start)
    elif recipe.moments and not saved.exists():
        fit_moments(network, truths(heads, recipe.moments, recipe.odds, first_seed(recipe)))
        save_weights(network, recipe, out / f"{recipe.name}.safetensors")
        say(f"begun from the spectra of {recipe.moments} truths")
    if recipe.steps == 0:
        return
    runs, val = runs_of(recipe, data, out, say, workers)
    network.to(device)
    average = deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98))
    if saved.exists():
        state = checkpoint.load(saved, network, average, optimizer)
        step, log = state["step"], state["log"]
        say(f"resumed at step {step}")
    with ThreadPoolExecutor(workers) as pool:
        cases, trials = ([c.to(device) for c in pool.map(_case, some)] for some in (runs, val))
    layers, began, losses = Layers(**recipe.layers), time.monotonic(), []
    while step < recipe.steps and time.monotonic() - began < most_seconds:
        case = cases[_turn(recipe.seed, step, len(cases))]
        total, parts = _loss(case.run, case.known, network, layers, recipe.loss)
        descend(total, network, optimizer, rate(recipe, step))
        step += 1
        follow(average, network, recipe.average, step)
        losses.append(parts)
        if step % recipe.validate_every == 0 or step == recipe.steps:
            log.append({"step": step, "train": _mean(losses), "val": _validate(average, trials, layers)})
            losses = []
            tell(out, log, time.monotonic() - began, say)
        if step % recipe.save_every == 0 or step == recipe.steps:
            checkpoint.save(saved, network, average, optimizer, {"step": step, "log": log})
            save_weights(scaled(average, recipe.lift), recipe, out / f"{recipe.name}.safetensors")


def save_weights(network: torch.nn.Module, recipe: SpiralRecipe, path: Path) -> None:
    """Weights that say what they are of."""
    about = {"method": recipe.method, "network": json.dumps(recipe.network), "layers": json.dumps(recipe.layers)}
    save_file({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}, path, metadata=about)


def rate(recipe: SpiralRecipe, step: int) -> float:
    """Linear warm-up, then half a cosine down to a fiftieth."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def begin_from(network: SpiralPrior, start: Mapping[str, Tensor]) -> None:
    """Loads weights; an InputError where they are another network's."""
    try:
        network.load_state_dict(start)
    except RuntimeError as error:
        raise InputError("training cannot start from these weights", got=str(error).splitlines()[0]) from None


def first_seed(recipe: SpiralRecipe) -> int:
    """Of the runs that train."""
    return 1000 + 100_000 * recipe.seed


def runs_of(
    recipe: SpiralRecipe, data: Path, out: Path, say: Callable[[str], None], workers: int
) -> tuple[list[TrainingRun], list[TrainingRun]]:
    """The runs to train and to choose by, kept in the folder `runs` of `out`."""
    seeds = first_seed(recipe)
    heads, val = heads_of(data, recipe.heads, recipe.whole), heads_of(data, recipe.val)
    return (
        load_runs(heads, recipe.runs, recipe.odds, seeds, out / "runs" / "train", say, workers=workers),
        load_runs(val, recipe.val_runs, recipe.odds, VAL_SEEDS, out / "runs" / "val", say, workers=workers),
    )


@torch.no_grad()
def _case(run: TrainingRun) -> Case:
    a = fewer_coils(run.acquisition)
    return Case(run, begin(a, mean_image(a)))


def _turn(seed: int, step: int, count: int) -> int:
    """Which run a step takes: each once in a random order, then anew."""
    order = np.random.default_rng([seed, step // count]).permutation(count)
    return int(order[step % count])


def _loss(
    run: TrainingRun, known: Start, network: SpiralPrior, layers: Layers, weights: Weights
) -> tuple[Tensor, dict[str, float]]:
    x = unrolled(known, network, layers)
    total = image_loss(x.abs(), run, weights)
    if weights.kspace > 0:
        total = total + weights.kspace * misfit(x, known, run)
    with torch.no_grad():
        parts = figures(x.abs(), run)
    return total, parts


def misfit(x: Tensor, known: Start, run: TrainingRun) -> Tensor:
    """``(‖A x - y‖² - ‖A x₀ - y‖²) / (σ² N)`` with x₀ what was expected: from products with AᴴA alone."""
    change = x - known.expected
    told = 2 * (change.conj() * known.residual).real.sum()
    square = (change.conj() * known.gram.forward(change)).real.sum()
    return (square - told) / (known.noise**2 * run.acquisition.kspace.numel())


def figures(x: Tensor, run: TrainingRun) -> dict[str, float]:
    """Relative temporal error and error of the response."""
    return {
        "temporal": round(float(temporal_error(x, run).sqrt()), 4),
        "response": round(float(response_error(x, run)), 4),
    }


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {k: round(float(np.mean([r[k] for r in rows])), 4) for k in rows[0]} if rows else {}


@torch.no_grad()
def _validate(network: SpiralPrior, trials: list[Case], layers: Layers) -> dict[str, Any]:
    rows = [figures(unrolled(c.known, network, layers).abs(), c.run) for c in trials]
    return {k: [r[k] for r in rows] for k in rows[0]} if rows else {}
