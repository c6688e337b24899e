"""Training of the network that `spiral-fmri-dc` sharpens its mean image by."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medsr.methods.spiral_fmri_dc import fewer_coils, mean_image
from medsr.networks.spiral_deblur import SpiralDeblur
from medsr.training import checkpoint
from medsr.training.spiral.recipe import SpiralRecipe
from medsr.training.spiral.runs import TrainingRun
from medsr.training.spiral.unrolled import rate, runs_of, save_weights
from medsr.training.step import descend, follow, tell

BATCH = 8
"""Images of one matrix in a step."""


@dataclass(frozen=True, eq=False)
class Still:
    """The mean image (x, y) complex of a run, the truth, tissue (x, y), and the duration () of a readout in s."""

    mean: Tensor
    truth: Tensor
    tissue: Tensor
    duration: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, run: TrainingRun, device: str) -> Still:
        """As the method sees it."""
        a = run.acquisition
        parts = mean_image(fewer_coils(a)), run.truth.mean(0), run.tissue, torch.tensor(a.duration)
        return cls(*(p.to(device) for p in parts))


def train(
    recipe: SpiralRecipe,
    data: Path,
    out: Path,
    say: Callable[[str], None],
    most_seconds: float = math.inf,
    *,
    device: str = "cpu",
    workers: int = 1,
) -> None:
    """Trains (or goes on training) the network and leaves weights, log and checkpoint in `out`.

    Minimises the mean of ``log(‖|m| + g(m) - r‖² / ‖r‖²)`` over tissue of images turned and mirrored at
    random, m the mean image and r the mean truth of a simulated run.

    device : what computes the steps. workers : processes that simulate the runs.
    """
    out.mkdir(parents=True, exist_ok=True)
    runs, val = ([Still.of(r, device) for r in some] for some in runs_of(recipe, data, out, say, workers))
    learn(recipe, runs, val, out, say, most_seconds, device)


def learn(
    recipe: SpiralRecipe,
    runs: list[Still],
    val: list[Still],
    out: Path,
    say: Callable[[str], None],
    most_seconds: float,
    device: str,
) -> None:
    """The steps."""
    torch.manual_seed(recipe.seed)
    network = SpiralDeblur(**recipe.network).to(device)
    average = deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98))
    step, log, saved = 0, [], out / "checkpoint.safetensors"
    if saved.exists():
        state = checkpoint.load(saved, network, average, optimizer)
        step, log = state["step"], state["log"]
        say(f"resumed at step {step}")
    alike: dict[int, list[Still]] = {}
    for still in runs:
        alike.setdefault(len(still.mean), []).append(still)
    groups = list(alike.values())
    shares = np.array([len(g) for g in groups]) / len(runs)
    began, losses = time.monotonic(), []
    while step < recipe.steps and time.monotonic() - began < most_seconds:
        rng = np.random.default_rng([recipe.seed, step])
        loss = _loss(network, groups[int(rng.choice(len(groups), p=shares))], rng)
        descend(loss, network, optimizer, rate(recipe, step))
        step += 1
        follow(average, network, recipe.average, step)
        losses.append(loss.detach())
        if step % recipe.validate_every == 0 or step == recipe.steps:
            figures = {"before": _error(None, val), "after": _error(average, val)}
            log.append({"step": step, "loss": round(float(torch.stack(losses).mean()), 4), "val": figures})
            losses = []
            tell(out, log, time.monotonic() - began, say)
        if step % recipe.save_every == 0 or step == recipe.steps:
            checkpoint.save(saved, network, average, optimizer, {"step": step, "log": log})
            save_weights(average, recipe, out / f"{recipe.name}.safetensors")


def _loss(network: SpiralDeblur, group: list[Still], rng: np.random.Generator) -> Tensor:
    some = [group[i] for i in rng.integers(len(group), size=BATCH)]
    quarter, mirrored = int(rng.integers(4)), bool(rng.integers(2))

    def turned(name: str) -> Tensor:
        x = torch.rot90(torch.stack([getattr(s, name) for s in some]), quarter, (1, 2))
        return x.flip(2) if mirrored else x

    mean, truth, tissue = (turned(name) for name in ("mean", "truth", "tissue"))
    made = mean.abs() + network(mean, torch.stack([s.duration for s in some]))
    error = ((made - truth) * tissue).square().sum((1, 2)) / (truth * tissue).square().sum((1, 2))
    return torch.log(error + 1e-8).mean()


@torch.no_grad()
def _error(network: SpiralDeblur | None, val: list[Still]) -> float:
    """Mean relative error in tissue; of the images as they are without a network."""
    errors = []
    for s in val:
        made = s.mean.abs()
        if network is not None:
            made = made + network(s.mean[None], s.duration[None])[0]
        errors.append(float((made - s.truth)[s.tissue].norm() / s.truth[s.tissue].norm()))
    return round(float(np.mean(errors)), 5) if errors else math.nan
