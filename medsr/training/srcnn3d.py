"""Training of SRCNN3D for regularly spaced shifting, on the degradation of the paper's released code."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from medsr.errors import InputError
from medsr.networks.srcnn3d import HALO, SRCNN3D
from medsr.operators.interpolation import interpolation_matrix
from medsr.operators.modeproduct import mode_product
from medsr.simulation.reduction import reduction_matrix
from medsr.training import checkpoint
from medsr.training.curves import draw_curves
from medsr.training.muon import Muon
from medsr.training.patches import Case, Patches, Source, load_cases
from medsr.training.recipe import read_source
from medsr.training.slices.recipe import read_recipe
from medsr.training.step import descend, follow, tell

FAINTEST = 0.3
"""A patch comes as if the volume's maximum were up to this much brighter than its 99.5th percentile."""
SIZE = 72
"""Voxels of the selection heads' middles, along each side."""
RESOLVED = 1.5
"""Axes of the selection heads with a coarser spacing (mm) are left alone."""


@dataclass(frozen=True)
class Srcnn3dRecipe:
    """One training run; see `medsr/training/recipes/regss.toml`.

    patch, batch : fine voxels along each side of a patch; patches a step.
    learning_rate, warmup : the peak of half a cosine, after so many steps of rising.
    average : decay of the exponential average of the weights, which is what is kept.
    contrast : share of patches with another contrast.
    """

    name: str
    source: tuple[Source, ...]
    steps: int
    ratio: int = 2
    patch: int = 48
    batch: int = 1
    seed: int = 0
    learning_rate: float = 1e-3
    warmup: int = 50
    average: float = 0.995
    contrast: float = 0.3
    save_every: int = 100
    validate_every: int = 250


def load_srcnn3d_recipe(name: str) -> Srcnn3dRecipe:
    """A recipe by the name of a shipped one, or by the path of a file; an InputError where it is not one."""
    table = read_recipe(name)
    table.pop("kind", None)
    try:
        sources = tuple(read_source(s) for s in table.pop("source"))
        return Srcnn3dRecipe(**{"name": Path(name).stem, **table}, source=sources)
    except (TypeError, KeyError) as error:
        raise InputError(f"{name}: not a recipe", got=str(error), hint="compare with a shipped one") from None


def train(
    recipe: Srcnn3dRecipe, data: Path, out: Path, say: Callable[[str], None], most_seconds: float = math.inf
) -> None:
    """Trains (or goes on training) what `recipe` says and leaves weights, log, curves and checkpoint in `out`.

    Minimises ``mean (f(B D x) - x)²``, `D` the released degradation (`reduction_matrix`), `B` the centre-aligned
    cubic spline, over patches whose brightness varies as the maximum of a volume does. The loss is the paper's.
    Ours: the data; Muon with half a cosine where the paper has plain gradient descent, which would need weeks of
    the same machine; weights that start from the interpolation; the average of the weights.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = SRCNN3D()
    network.start_at_input()
    average = deepcopy(network)
    optimizer = make_optimizer(network, recipe)
    step, log, losses = 0, [], []
    saved = out / "checkpoint.safetensors"
    if saved.exists():
        state = checkpoint.load(saved, network, average, optimizer)
        step, log, losses = state["step"], state["log"], state["losses"]
        say(f"resumed at step {step}")
    cases = [load_cases(data, s.files, s) for s in recipe.source]
    stock = Patches(recipe.source, cases, np.random.default_rng(recipe.seed))
    heads = [c for s in recipe.source for c in load_cases(data, s.val, s)]
    start = time.monotonic()
    while step < recipe.steps and time.monotonic() - start < most_seconds:
        given, truth, scale = batch_of(recipe, stock, step)
        loss = ((network(given) - truth) / scale).square().mean()
        descend(loss, network, optimizer, rate(recipe, step))
        step += 1
        follow(average, network, recipe.average, step)
        losses.append(float(loss.detach()))
        last = step == recipe.steps
        if step % recipe.validate_every == 0 or last:
            gains = {c.name: round(gain(average, c, recipe.ratio), 3) for c in heads}
            log.append({"step": step, "error": float(np.mean(losses)), "gains_db": gains})
            losses = []
            panels = {
                f"{recipe.name}: gain over the cubic spline (dB)": {
                    n: [e["gains_db"][n] for e in log] for n in gains
                },
                "mean squared error": {"training": [e["error"] for e in log]},
            }
            draw_curves([e["step"] for e in log], panels, out / "curves.svg")
            tell(out, log, time.monotonic() - start, say)
        if step % recipe.save_every == 0 or last or time.monotonic() - start >= most_seconds:
            checkpoint.save(saved, network, average, optimizer, {"step": step, "log": log, "losses": losses})
            weights = {k: v.detach().contiguous() for k, v in average.state_dict().items()}
            about = {"network": "srcnn3d", "ratio": str(recipe.ratio), "steps": str(step)}
            save_file(weights, out / f"{recipe.name}.safetensors", metadata=about)


def make_optimizer(network: SRCNN3D, recipe: Srcnn3dRecipe) -> Muon:
    """Muon for the first two kernels, AdamW for the last (it has one output) and the biases."""
    kernels = [network.first.weight, network.second.weight]
    rest = [p for p in network.parameters() if all(p is not k for k in kernels)]
    groups: list[dict[str, Any]] = [{"params": rest, "stacked": None}, {"params": kernels, "stacked": 0}]
    return Muon(groups, recipe.learning_rate, decay=0.0)


def rate(recipe: Srcnn3dRecipe, step: int) -> float:
    """Learning rate: linear warm-up, then half a cosine down to nothing."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def batch_of(recipe: Srcnn3dRecipe, stock: Patches, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """The batch of a step: what the network is given, the truth inside its margin, and the brightness.

    (B, 1, x, y, z) the first two; drawn by seed and step alone, so that a run that was stopped goes on as it was.
    """
    rng = stock.rng = np.random.default_rng((recipe.seed, step))
    stock.augment.set_random_state(int(rng.integers(2**31)))
    pick = stock.pick(resolved_last=False)
    patches = stock.batch(pick, [recipe.patch] * 3, recipe.batch, recipe.contrast)
    scale = torch.from_numpy(rng.uniform(FAINTEST, 1, (recipe.batch, 1, 1, 1, 1)).astype(np.float32))
    truth = torch.from_numpy(patches)[:, None] * scale
    inner = (slice(None), slice(None), *[slice(HALO, -HALO)] * 3)
    return degraded(truth, recipe.ratio, pick.resolved), truth[inner], scale


def degraded(truth: Tensor, ratio: int, refined: Sequence[int]) -> Tensor:
    """(..., x, y, z) reduced along the axes `refined`, and interpolated to where it was."""
    matrices: list[Tensor | None] = []
    for axis, n in enumerate(truth.shape[-3:]):
        if axis not in refined:
            matrices.append(None)
            continue
        there, back = reduction_matrix(n, ratio), interpolation_matrix(3, n, 1.0, n // ratio, float(ratio))
        matrices.append(torch.as_tensor(back @ there, dtype=truth.dtype))
    return mode_product(truth, matrices)


@torch.no_grad()
def gain(network: SRCNN3D, case: Case, ratio: int) -> float:
    """PSNR gained over the cubic spline, dB: the middle of a head, voxels above 5 % of the 99.5th percentile."""
    size = [min(SIZE, n) // ratio * ratio for n in case.data.shape]
    start = [(n - s) // 2 for n, s in zip(case.data.shape, size, strict=True)]
    cut = case.data[tuple(slice(a, a + s) for a, s in zip(start, size, strict=True))]
    truth = torch.from_numpy(np.ascontiguousarray(cut))
    given = degraded(truth, ratio, [a for a, h in enumerate(case.spacing) if h < RESOLVED])
    peak = float(case.data.max())
    made = network(given[None, None] / peak)[0, 0] * peak
    inner = (slice(HALO, -HALO),) * 3
    mask = truth[inner] > 0.05
    ours, theirs = (((x - truth[inner])[mask] ** 2).mean() for x in (made, given[inner]))
    return float(10 * torch.log10(theirs / ours))
