"""Training of `spiral-fmri`, the paper's form: image error plus k-space misfit, some frames at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medsr.methods.spiral_fmri import SharedFrames
from medsr.networks.spiral_resnet import SpiralResNet
from medsr.training import checkpoint
from medsr.training.spiral.loss import Weights, response_error, temporal_error
from medsr.training.spiral.recipe import SpiralRecipe, heads_of
from medsr.training.spiral.runs import TrainingRun, load_runs
from medsr.training.spiral.unrolled import VAL_SEEDS, rate, save_weights
from medsr.training.step import descend, follow, tell

BATCH = 6
"""Frames in a step, of one run."""

Case = tuple[TrainingRun, SharedFrames]


def train(
    recipe: SpiralRecipe, data: Path, out: Path, say: Callable[[str], None], most_seconds: float = math.inf
) -> None:
    """Trains (or goes on training) the residual network and leaves weights, log and checkpoint in `out`.

    Minimises ``mean |x - r|² / mean |s - r|² + λ ‖A x - y‖² / (σ² N)`` over frames of simulated runs, s the image
    that the network starts from, r the truth under the phase of the mean image: the paper's two terms; their
    weights are ours.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = SpiralResNet(**recipe.network)
    average = deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    step, log, saved = 0, [], out / "checkpoint.safetensors"
    if saved.exists():
        state = checkpoint.load(saved, network, average, optimizer)
        step, log = state["step"], state["log"]
        say(f"resumed at step {step}")
    seeds = 1000 + 100_000 * recipe.seed
    runs = load_runs(heads_of(data, recipe.heads), recipe.runs, recipe.odds, seeds, out / "runs" / "train", say)
    val = load_runs(heads_of(data, recipe.val), recipe.val_runs, recipe.odds, VAL_SEEDS, out / "runs" / "val", say)
    cases, trials = ([(r, SharedFrames.of(r.acquisition, network.spans)) for r in some] for some in (runs, val))
    start, losses = time.monotonic(), []
    while step < recipe.steps and time.monotonic() - start < most_seconds:
        rng = np.random.default_rng([recipe.seed, step])
        run, frames = cases[int(rng.integers(len(cases)))]
        first = int(rng.integers(max(1, len(run.truth) - BATCH)))
        loss = frames_loss(network, run, frames, slice(first, first + BATCH), recipe.loss)
        descend(loss, network, optimizer, rate(recipe, step))
        step += 1
        losses.append(float(loss.detach()))
        follow(average, network, recipe.average, step)
        if step % recipe.validate_every == 0 or step == recipe.steps:
            log.append(
                {"step": step, "loss": float(np.mean(losses)), "val": [_figures(average, c) for c in trials]}
            )
            losses = []
            tell(out, log, time.monotonic() - start, say)
        if step % recipe.save_every == 0 or step == recipe.steps:
            checkpoint.save(saved, network, average, optimizer, {"step": step, "log": log})
            save_weights(average, recipe, out / f"{recipe.name}.safetensors")


def frames_loss(
    network: SpiralResNet, run: TrainingRun, frames: SharedFrames, some: slice, weights: Weights
) -> Tensor:
    """The loss of some frames of a run."""
    a = run.acquisition
    given = frames.channels(some)
    output = network(given)
    truth = torch.stack([run.truth[some] / frames.size, torch.zeros_like(run.truth[some])], 1)
    start = (given[:, -2:] - truth)[:, :, run.tissue].square().mean()
    loss = (output - truth)[:, :, run.tissue].square().mean() / start
    if weights.kspace > 0:
        x = frames.image(output)
        left = torch.stack([a.kspace[t] - a.frame(t).forward(x[i]) for i, t in enumerate(_range(some, a.frames))])
        loss = loss + weights.kspace * left.abs().square().mean() / max(a.noise**2, 1e-12)
    return loss


def _range(some: slice, frames: int) -> range:
    return range(*some.indices(frames))


@torch.no_grad()
def _figures(network: SpiralResNet, case: Case) -> dict[str, float]:
    run, frames = case
    parts = [frames.image(network(frames.channels(slice(t, t + 16)))) for t in range(0, len(run.truth), 16)]
    x = torch.cat(parts).abs()
    error = float((x - run.truth)[:, run.tissue].norm() / run.truth[:, run.tissue].norm())
    return {
        "nrmse": round(error, 4),
        "temporal": round(float(temporal_error(x, run).sqrt()), 4),
        "response": round(float(response_error(x, run)), 4),
    }
