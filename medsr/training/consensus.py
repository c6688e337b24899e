"""Training of the 3D network on random acquisitions."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medsr.acquisition.cells import LAYOUTS, THROUGH
from medsr.networks.residual3d import MixedConv3d, ResidualNet3D
from medsr.training import checkpoint
from medsr.training.curves import draw_curves
from medsr.training.degrade import Draw, Odds, draw
from medsr.training.muon import Muon
from medsr.training.patches import Patches, load_cases
from medsr.training.recipe import Recipe
from medsr.training.step import descend, follow, tell
from medsr.training.trials import FOREGROUND, covered, gains, make_trials

CHARBONNIER = 0.02
"""Where the loss turns from quadratic to linear, over the 99.5th percentile."""
LEAST = 2e-3
"""Added to the loss of the spline estimate, by which a batch is divided: what is right already weighs little."""
MARGIN = 2
"""Cells at the border of a patch that the loss leaves out."""
COVERED = 0.9
"""Share of the errors that the interval is to hold."""
SMALLEST = 1e-4
"""Added to errors before their logarithm is taken, over the 99.5th percentile."""


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    say: Callable[[str], None],
    most_seconds: float = math.inf,
    device: str = "cpu",
) -> None:
    """Trains (or goes on training) what `recipe` says and leaves weights, log and checkpoint in `out`.

    Minimises ``ρ(e) / ρ(e₀)``, where ``ρ`` is the mean Charbonnier loss ``sqrt(e² + ε²) - ε`` over a batch of
    patches under one acquisition, ``e`` the error of the estimate and ``e₀`` that of the spline estimate: an
    acquisition counts by what can be gained on it, not by how hard it is. Without noise the estimate is
    projected first, so that the network learns only what the scan leaves open.

    In the stage `interval` the estimate stays as it is, and the half width `w` of the interval that is to hold
    ``q = 0.9`` of its errors is learned, by quantile regression (Koenker & Bassett 1978, doi:10.2307/1913643)
    of logarithms, for which every acquisition counts alike: the mean of ``max(q d, (q - 1) d)``,
    ``d = log|e| - log w``, is minimised.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    layout = LAYOUTS[recipe.layout]
    network = ResidualNet3D(layout.orders, **recipe.network).to(device)
    if recipe.start:
        network.load_state_dict(load_file(recipe.start))
    interval = recipe.stage == "interval"
    optimizer = interval_optimizer(network, recipe) if interval else make_optimizer(network, recipe)
    average = deepcopy(network)
    step, log = 0, []
    saved = out / "checkpoint.safetensors"
    if saved.exists():
        state = checkpoint.load(saved, network, average, optimizer)
        step, log = state["step"], state["log"]
        say(f"resumed at step {step}")
    rng = np.random.default_rng((recipe.seed, step))
    stock = Patches(recipe.source, [load_cases(data, s.files, s) for s in recipe.source], rng)
    trials = make_trials([c for s in recipe.source for c in load_cases(data, s.val, s)], layout)
    start, losses = time.monotonic(), []
    while step < recipe.steps and time.monotonic() - start < most_seconds:
        hardness = recipe.hardness(step)
        pick = stock.pick(resolved_last=layout is THROUGH)
        acquisition = draw(
            rng,
            layout,
            pick.spacing,
            pick.resolved,
            pick.shape,
            recipe.cells,
            Odds(**recipe.odds, hardness=hardness),
        )
        here = math.prod(n // c for n, c in zip(acquisition.shape, acquisition.cell, strict=True))
        number = max(1, round(recipe.batch * recipe.cells**3 / here))
        batch = stock.batch(pick, acquisition.shape, number, hardness, recipe.denoised)
        objective = _interval_loss if interval else _loss
        loss = objective(network, torch.from_numpy(batch), acquisition, rng, device)
        descend(loss, network, optimizer, rate(recipe, step))
        step += 1
        follow(average, network, recipe.average, step)
        losses.append(float(loss.detach()))
        last = step == recipe.steps
        if step % recipe.validate_every == 0 or last:
            scores = (
                {"covered": covered(average, trials)} if interval else {"gain_db": gains(average, trials, device)}
            )
            log.append({"step": step, "loss": float(np.mean(losses)), **scores})
            losses = []
            _draw(log, out / "curves.svg", recipe.name)
            tell(out, log, time.monotonic() - start, say)
        if step % recipe.save_every == 0 or last:
            checkpoint.save(saved, network, average, optimizer, {"step": step, "log": log})
            weights = {k: v.detach().cpu().contiguous() for k, v in average.state_dict().items()}
            about = {"network": "residual3d", "layout": layout.name, "configuration": json.dumps(recipe.network)}
            save_file(weights, out / f"{recipe.name}.safetensors", metadata={**about, "steps": str(step)})


def make_optimizer(network: nn.Module, recipe: Recipe) -> Muon:
    """Muon for the kernels of the trunk, AdamW for the first and last layers, the biases and the mixer."""
    kernels: dict[int, list[nn.Parameter]] = {0: [], 1: []}
    for name, module in network.named_modules():
        if isinstance(module, MixedConv3d) and name.startswith(("first", "second")):
            kernels[0].append(module.weight)
            kernels[1].append(module.others)
    taken = {id(p) for group in kernels.values() for p in group}
    rest = [p for p in network.parameters() if id(p) not in taken]
    groups: list[dict[str, Any]] = [
        {"params": rest, "stacked": None},
        {"params": kernels[0], "stacked": 0},
        {"params": kernels[1], "stacked": 1},
    ]
    return Muon(groups, recipe.learning_rate)


def interval_optimizer(network: ResidualNet3D, recipe: Recipe) -> torch.optim.Adam:
    """Adam for the layer that tells the half width, which begins anew, and for what mixes its kernels."""
    network.requires_grad_(False)
    nn.init.zeros_(network.error.weight)
    nn.init.zeros_(network.error.others)
    nn.init.zeros_(network.error.bias)
    last = network.mixer[-1]
    assert isinstance(last, nn.Linear)
    parameters = [*network.error.parameters(), *last.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    own = torch.zeros_like(last.bias)
    own[-network.kernels :] = 1.0
    last.weight.register_hook(lambda gradient: gradient * own[:, None])
    last.bias.register_hook(lambda gradient: gradient * own)
    return torch.optim.Adam(parameters, recipe.learning_rate)


def rate(recipe: Recipe, step: int) -> float:
    """Learning rate: linear warm-up, constant, then linear down to nothing over the last `decay` of the steps."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    left = (recipe.steps - step) / (recipe.decay * recipe.steps)
    return recipe.learning_rate * max(0.01, min(1.0, left))


def _draw(log: list[dict[str, Any]], path: Path, title: str) -> None:
    """The gain over `spline` or the coverage, the mean of the heads, a line a setting; and the loss."""
    score, words = ("gain_db", "gain over spline (dB)") if "gain_db" in log[0] else ("covered", "share covered")
    settings = {n: [float(np.mean(entry[score][n])) for entry in log] for n in log[0][score]}
    panels = {
        f"{title}: {words}, selection heads": settings,
        "loss": {"loss": [entry["loss"] for entry in log]},
    }
    draw_curves([entry["step"] for entry in log], panels, path)


def _loss(
    network: ResidualNet3D, truth: Tensor, acquisition: Draw, rng: np.random.Generator, device: str
) -> Tensor:
    """The relative loss of the estimate."""
    error, before, _, _ = _errors(network, truth, acquisition, rng, device)
    return _charbonnier(error) / (_charbonnier(before) + LEAST)


def _interval_loss(
    network: ResidualNet3D, truth: Tensor, acquisition: Draw, rng: np.random.Generator, device: str
) -> Tensor:
    """The quantile loss of the logarithm of the half width."""
    error, _, width, inner = _errors(network, truth, acquisition, rng, device)
    above = torch.log((error.abs() + SMALLEST) / width)[inner > FOREGROUND]
    return torch.maximum(COVERED * above, (COVERED - 1) * above).mean()


def _errors(
    network: ResidualNet3D, truth: Tensor, acquisition: Draw, rng: np.random.Generator, device: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the inner voxels: errors of the estimate and of the spline estimate, half width, truth."""
    y = acquisition.measure(truth, rng)
    given = {k: v.to(device) for k, v in acquisition.inputs(y).items()}
    y, truth = y.to(device), truth.to(device)
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=device.startswith("cuda")):
        correction, width = network(**given, cell=acquisition.cell)
    x = given["images"][:, 0] + correction
    if acquisition.told_noise == 0:
        x = acquisition.projection.project(x, y)
    inner = (slice(None), *(slice(MARGIN * c, -MARGIN * c) for c in acquisition.cell))
    return (x - truth)[inner], (given["images"][:, 0] - truth)[inner], width[inner], truth[inner]


def _charbonnier(error: Tensor) -> Tensor:
    return (torch.sqrt(error**2 + CHARBONNIER**2) - CHARBONNIER).mean()
