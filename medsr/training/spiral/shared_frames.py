"""Training of `spiral-fmri`, the paper's form: image error plus k-space misfit, some frames at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medsr.consistency.batched import BatchedSeriesGram
from medsr.consistency.relative import SeriesOperator
from medsr.consistency.series import SeriesGram
from medsr.methods.spiral_fmri import SharedFrames
from medsr.methods.spiral_fmri_dc import fewer_coils
from medsr.networks.spiral_resnet import SpiralResNet
from medsr.training import checkpoint
from medsr.training.spiral.loss import Weights, response_error, temporal_error
from medsr.training.spiral.recipe import SpiralRecipe
from medsr.training.spiral.runs import TrainingRun
from medsr.training.spiral.unrolled import rate, runs_of, save_weights
from medsr.training.step import descend, follow, tell

BATCH = 6
"""Frames in a step, of one run."""


@dataclass(frozen=True, eq=False)
class Case:
    """A run as the network is given it, and what its samples tell.

    backprojected : ``A_tᴴ y_t``, (frames, x, y). energy : ``‖y_t‖²``, (frames,).
    """

    run: TrainingRun
    frames: SharedFrames
    system: SeriesGram | BatchedSeriesGram
    backprojected: Tensor
    energy: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, run: TrainingRun, spans: int) -> Case:
        """Gridded, and told of by as few coils as hold its energy."""
        a = fewer_coils(run.acquisition)
        system = SeriesGram(a.trajectories, a.maps)
        energy = a.kspace.abs().square().sum((1, 2))
        return cls(run, SharedFrames.of(run.acquisition, spans), system, system.backproject(a.kspace), energy)

    def to(self, device: str) -> Case:
        """On an accelerator; the CPU's is left as it is."""
        if device == "cpu":
            return self
        system = BatchedSeriesGram(self.system.trajectories, self.system.maps.to(device))
        tensors = self.backprojected.to(device), self.energy.to(device)
        return Case(self.run.to(device), self.frames.to(device), system, *tensors)

    def misfit(self, x: Tensor, some: slice) -> Tensor:
        """``‖A x - y‖² / (σ² N)`` of some frames, from products with AᴴA alone."""
        a = self.run.acquisition
        seen = SeriesOperator(self.system, some).forward(x)
        square = (x.conj() * (seen - 2 * self.backprojected[some])).real.sum() + self.energy[some].sum()
        return square / (max(a.noise**2, 1e-12) * len(x) * a.kspace[0].numel())


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
    """Trains (or goes on training) the residual network and leaves weights, log and checkpoint in `out`.

    Minimises ``mean |x - r|² / mean |s - r|² + λ ‖A x - y‖² / (σ² N)`` over frames of simulated runs, s the image
    that the network starts from, r the truth under the phase of the mean image: the paper's two terms; their
    weights are ours.

    device : what computes the steps. workers : processes that simulate the runs, threads that grid them.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = SpiralResNet(**recipe.network).to(device)
    average = deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    step, log, saved = 0, [], out / "checkpoint.safetensors"
    if saved.exists():
        state = checkpoint.load(saved, network, average, optimizer)
        step, log = state["step"], state["log"]
        say(f"resumed at step {step}")
    runs, val = runs_of(recipe, data, out, say, workers)
    with ThreadPoolExecutor(workers) as pool:
        cases, trials = (
            [c.to(device) for c in pool.map(lambda r: Case.of(r, network.spans), some)] for some in (runs, val)
        )
    start, losses = time.monotonic(), []
    while step < recipe.steps and time.monotonic() - start < most_seconds:
        rng = np.random.default_rng([recipe.seed, step])
        case = cases[int(rng.integers(len(cases)))]
        first = int(rng.integers(max(1, len(case.run.truth) - BATCH)))
        loss = frames_loss(network, case, slice(first, first + BATCH), recipe.loss)
        descend(loss, network, optimizer, rate(recipe, step))
        step += 1
        losses.append(loss.detach())
        follow(average, network, recipe.average, step)
        if step % recipe.validate_every == 0 or step == recipe.steps:
            log.append(
                {
                    "step": step,
                    "loss": float(torch.stack(losses).mean()),
                    "val": [_figures(average, c) for c in trials],
                }
            )
            losses = []
            tell(out, log, time.monotonic() - start, say)
        if step % recipe.save_every == 0 or step == recipe.steps:
            checkpoint.save(saved, network, average, optimizer, {"step": step, "log": log})
            save_weights(average, recipe, out / f"{recipe.name}.safetensors")


def frames_loss(network: SpiralResNet, case: Case, some: slice, weights: Weights) -> Tensor:
    """The loss of some frames of a run."""
    run, frames = case.run, case.frames
    given = frames.channels(some)
    output = network(given)
    truth = torch.stack([run.truth[some] / frames.size, torch.zeros_like(run.truth[some])], 1)
    start = (given[:, -2:] - truth)[:, :, run.tissue].square().mean()
    loss = (output - truth)[:, :, run.tissue].square().mean() / start
    if weights.kspace > 0:
        loss = loss + weights.kspace * case.misfit(frames.image(output), some)
    return loss


@torch.no_grad()
def _figures(network: SpiralResNet, case: Case) -> dict[str, float]:
    run, frames = case.run, case.frames
    parts = [frames.image(network(frames.channels(slice(t, t + 16)))) for t in range(0, len(run.truth), 16)]
    x = torch.cat(parts).abs()
    error = float((x - run.truth)[:, run.tissue].norm() / run.truth[:, run.tissue].norm())
    return {
        "nrmse": round(error, 4),
        "temporal": round(float(temporal_error(x, run).sqrt()), 4),
        "response": round(float(response_error(x, run)), 4),
    }
