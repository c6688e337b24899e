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
from safetensors.torch import save_file
from torch import Tensor

from medsr.networks.residual3d import ResidualNet3D
from medsr.operators.pointspread import PointSpread
from medsr.training import checkpoint
from medsr.training.degrade import Draw, draw
from medsr.training.patches import Case, load_cases, patches
from medsr.training.recipe import Recipe

CHARBONNIER = 0.02
"""Where the loss turns from quadratic to linear, over the 99.5th percentile."""
LEAST = 2e-3
"""Added to the loss of the spline estimate, by which a patch is divided: what is right already weighs little."""


Trial = tuple[Tensor, Tensor, Draw]


def train(
    recipe: Recipe, data: Path, out: Path, say: Callable[[str], None], most_seconds: float = math.inf
) -> None:
    """Trains (or goes on training) what `recipe` says and leaves weights, log and checkpoint in `out`.

    Minimises the mean of ``ρ(e) / ρ(e₀)``, where ``ρ`` is the Charbonnier loss ``sqrt(e² + ε²) - ε``, ``e`` the
    error of the estimate and ``e₀`` that of the spline estimate: a patch counts by what can be gained on it,
    not by how hard it is. Without noise the estimate is projected first, so that the network learns only what
    the scan leaves open.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = ResidualNet3D(**recipe.network).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    average = deepcopy(network)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=1e-4, betas=(0.9, 0.99)
    )
    step, log = 0, []
    saved = out / "checkpoint.safetensors"
    if saved.exists():
        state = checkpoint.load(saved, network, average, optimizer)
        step, log = state["step"], state["log"]
        say(f"resumed at step {step}")
    rng = np.random.default_rng((recipe.seed, step))
    cases = [load_cases(data, s.files, s) for s in recipe.source]
    trials = _trials([c for s in recipe.source for c in load_cases(data, s.val, s)])
    batches = patches(recipe.source, cases, rng, lambda: recipe.hardness(step))
    start, losses = time.monotonic(), []
    while step < recipe.steps and time.monotonic() - start < most_seconds:
        for group in optimizer.param_groups:
            group["lr"] = _rate(recipe, step)
        batch, spacings, axes = next(batches)
        odds = {**recipe.odds, "hardness": recipe.hardness(step)}
        draws = [draw(rng, x.shape, s, a, **odds) for x, s, a in zip(batch, spacings, axes, strict=True)]
        loss = _loss(network, batch, draws, rng, recipe.margin)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            keep = min(recipe.average, step / (step + 10))
            for mean, value in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)
        losses.append(float(loss.detach()))
        if step % recipe.validate_every == 0 or step == recipe.steps:
            log.append({"step": step, "loss": float(np.mean(losses)), "gain_db": _validate(average, trials)})
            losses = []
            (out / "log.json").write_text(json.dumps(log, indent=1), encoding="utf-8")
            say(f"step {step}, {time.monotonic() - start:.0f} s: {json.dumps(log[-1])}")
        if step % recipe.save_every == 0 or step == recipe.steps:
            checkpoint.save(saved, network, average, optimizer, {"step": step, "log": log})
            weights = {k: v.detach().contiguous() for k, v in average.state_dict().items()}
            save_file(weights, out / f"{recipe.name}.safetensors")


def _rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def _apply(
    network: ResidualNet3D, scans: list[Tensor], draws: list[Draw], inputs: list[dict[str, Tensor]]
) -> list[Tensor]:
    """Estimates on the fine grid; projected where the scan has no noise."""
    stacked = {k: torch.stack([i[k] for i in inputs]) for k in inputs[0]}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        correction = network(**stacked)
    estimates = stacked["images"][:, 0] + correction
    return [
        d.projection.project(x, y) if d.told_noise == 0 else x
        for x, y, d in zip(estimates, scans, draws, strict=True)
    ]


def _loss(network: ResidualNet3D, batch: Any, draws: list[Draw], rng: np.random.Generator, margin: int) -> Tensor:
    truths = [torch.from_numpy(x) for x in batch]
    scans = [d.measure(x, rng) for d, x in zip(draws, truths, strict=True)]
    inputs = [d.inputs(y) for d, y in zip(draws, scans, strict=True)]
    inner = (slice(margin, -margin),) * 3
    total = torch.zeros(())
    for x, truth, given in zip(_apply(network, scans, draws, inputs), truths, inputs, strict=True):
        total = total + _charbonnier((x - truth)[inner]) / (
            _charbonnier((given["images"][0] - truth)[inner]) + LEAST
        )
    return total / len(truths)


def _charbonnier(error: Tensor) -> Tensor:
    return (torch.sqrt(error**2 + CHARBONNIER**2) - CHARBONNIER).mean()


def _trials(cases: list[Case]) -> dict[str, list[Trial]]:
    """Fixed scans of the selection subjects: the middle of each head under five acquisitions."""
    settings: dict[str, tuple[float, tuple[int, ...] | None, Any, float]] = {
        "x2 gaussian": (2.0, None, "gaussian", 0.0),
        "x2 kspace": (2.0, None, "kspace", 0.0),
        "x2 gaussian, 2 % noise": (2.0, None, "gaussian", 0.02),
        "x4 through-plane": (4.0, (0,), "gaussian", 0.0),
        "x4 through-plane, 2 % noise": (4.0, (0,), "gaussian", 0.02),
    }
    rng = np.random.default_rng(0)
    found: dict[str, list[Trial]] = {}
    for name, (ratio, only, kind, noise) in settings.items():
        for case in cases:
            axes = only or tuple(a for a in range(3) if case.spacing[a] < 1.5)
            size = [min(80, n // 8 * 8) for n in case.data.shape]
            start = [(n - s) // 2 for n, s in zip(case.data.shape, size, strict=True)]
            cut = case.data[tuple(slice(a, a + s) for a, s in zip(start, size, strict=True))]
            truth = torch.from_numpy(np.ascontiguousarray(cut))
            between = [s * (ratio if a in axes else 1.0) for a, s in enumerate(case.spacing)]
            samples = [int(n // ratio) if a in axes else n for a, n in enumerate(size)]
            psf = tuple(PointSpread(kind, d) if a in axes else None for a, d in enumerate(between))
            none = (0.0, 0.0, 0.0)
            made = Draw(tuple(size), case.spacing, tuple(samples), tuple(between), psf, psf, none, noise, noise)
            found.setdefault(name, []).append((truth, made.measure(truth, rng), made))
    return found


@torch.no_grad()
def _validate(network: ResidualNet3D, trials: dict[str, list[Trial]]) -> dict[str, list[float]]:
    """PSNR gained over `spline`, dB, a head: inner voxels above 5 % of the 99.5th percentile."""
    gains: dict[str, list[float]] = {}
    inner = (slice(6, -6),) * 3
    for name, scans in trials.items():
        for truth, y, made in scans:
            given = made.inputs(y)
            (x,) = _apply(network, [y], [made], [given])
            base = given["images"][0]
            mask = truth[inner] > 0.05
            ours, theirs = (((e - truth)[inner][mask] ** 2).mean() for e in (x, base))
            gains.setdefault(name, []).append(round(float(10 * torch.log10(theirs / ours)), 3))
    return gains
