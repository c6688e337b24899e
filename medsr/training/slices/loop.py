"""The trainer of the 2D systems."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medsr.errors import InputError
from medsr.networks.base import SliceNetwork
from medsr.training.curves import draw_curves
from medsr.training.muon import Muon, kernels_and_rest
from medsr.training.objectives import Batch, Objective
from medsr.training.slices import checkpoint
from medsr.training.slices.acquire import plane_acquisition
from medsr.training.slices.prepare import prepare
from medsr.training.slices.recipe import SliceRecipe
from medsr.training.slices.systems import build_network, build_objective, needs_tissues
from medsr.training.slices.validate import trials, validate
from medsr.training.slices.volumes import NO_LABEL, TrainingVolume, load_volumes, random_contrast, random_patch

CHECKPOINT = "checkpoint.safetensors"
CLIP = 1.0
"""Largest norm of the gradient that is stepped along."""
DECAY = 1e-4
"""Of the weights, a step at a learning rate of 1."""

Say = Callable[[str], None]


@dataclass(eq=False)
class Run:
    """What changes from step to step."""

    network: SliceNetwork
    average: SliceNetwork
    best: SliceNetwork
    objective: Objective
    optimizers: dict[str, torch.optim.Optimizer]
    step: int
    log: list[dict[str, Any]]

    def modules(self) -> dict[str, nn.Module]:
        """All that a checkpoint holds the weights of."""
        return {
            "network": self.network,
            "average": self.average,
            "best": self.best,
            "objective": self.objective,
        }


def train(
    recipe: SliceRecipe,
    data: Path,
    out: Path,
    say: Say,
    *,
    start: Mapping[str, Tensor] | None = None,
    most_seconds: float = math.inf,
    resume: bool = False,
    device: str = "cpu",
) -> None:
    """Trains what `recipe` says; leaves weights, log, curves and a checkpoint in `out`.

    Minimises the objective of the recipe's stage over random patches of random acquisitions. The network's image
    is projected onto the scan before it is judged, ``x = f(y + n) + A⁺ (y - A f(y + n))`` (`Batch.finish`), under
    the profile that the scan was made with: that is what becomes of it in use, so the network learns only what
    the scan leaves open, from noisy scans too; what of a scan is noise is for the filter to say.

    Every step draws from a generator of its own, ``(seed, step)``: a run that is resumed is the run that was never
    stopped. The weights kept are those of the average that gained most on the selection subjects; of the final
    stage, the last.

    Parameters
    ----------
    data : the folder that the sources' patterns look in. out : a folder, made if missing.
    start : weights that the run starts from (the pixel stage's, for a final stage); what they lack is drawn.
    most_seconds : when to stop before the last step, checkpoint written.
    resume : go on from the checkpoint in `out`.
    device : what computes, as torch names it. The draws are the same on every device, the weights to rounding.

    Raises
    ------
    InputError
        where data are missing, or a checkpoint is not this recipe's.
    """
    out.mkdir(parents=True, exist_ok=True)
    run = _begin(recipe, start, device)
    saved = out / CHECKPOINT
    resumed = resume and saved.exists()
    if resumed:
        state = checkpoint.load(saved, run.modules(), run.optimizers)
        run.step, run.log = state["step"], state["log"]
        say(f"resumed at step {run.step}")
    tissues = out.parent / "tissues" if needs_tissues(run.objective) else None
    volumes = [load_volumes(data, s.files, s, tissues) for s in recipe.source]
    chosen_by = [v for s in recipe.source for v in load_volumes(data, s.val, s)]
    judged = trials(chosen_by, recipe, run.network.slices, device)
    say(f"{sum(map(len, volumes))} training volumes, {len(judged)} selection images")
    if not resumed:
        prepare(run.objective, recipe, volumes, say, device)
    began, terms = time.monotonic(), []
    while run.step < recipe.steps and time.monotonic() - began < most_seconds:
        terms.append(_step(run, recipe, volumes, device))
        last = run.step == recipe.steps
        if run.step % recipe.validate_every == 0 or last:
            _judge(run, recipe, judged, terms)
            terms = []
            say(f"step {run.step}, {time.monotonic() - began:.0f} s: {json.dumps(run.log[-1])}")
            (out / "log.json").write_text(json.dumps(run.log, indent=1), encoding="utf-8")
            _draw(run.log, out / "curves.svg", recipe.name)
            save_weights(run.best, out / f"{recipe.name}.safetensors", recipe, run.step)
        if run.step % recipe.save_every == 0 or last:
            _save(run, saved)
    _save(run, saved)


def _save(run: Run, path: Path) -> None:
    checkpoint.save(path, run.modules(), run.optimizers, {"step": run.step, "log": run.log})


def _begin(recipe: SliceRecipe, start: Mapping[str, Tensor] | None, device: str) -> Run:
    network = build_network(recipe)
    if start is not None:
        own = network.state_dict()
        wrong = [k for k, v in start.items() if k not in own or own[k].shape != v.shape]
        if wrong:
            raise InputError(f"{recipe.name} cannot start from these weights", got=f"{wrong[0]} that it has not")
        network.load_state_dict(start, strict=False)
    torch.manual_seed(recipe.seed)
    objective = build_objective(recipe).to(device)
    network.to(device)
    optimizers = {"optimizer": _optimizer(recipe, list(network.parameters()))}
    if critic := objective.critic_parameters():
        optimizers["critic"] = torch.optim.AdamW(critic, lr=recipe.learning_rate, betas=(0.5, 0.99))
    return Run(network, deepcopy(network), deepcopy(network), objective, optimizers, 0, [])


def _optimizer(recipe: SliceRecipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    if recipe.optimizer == "muon":
        return Muon(kernels_and_rest(parameters, DECAY), recipe.learning_rate)
    return torch.optim.AdamW(parameters, lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=DECAY)


def _step(run: Run, recipe: SliceRecipe, volumes: list[list[TrainingVolume]], device: str) -> dict[str, Tensor]:
    """One step; the terms of the loss, left where they are computed so that nothing waits for them."""
    rng = np.random.default_rng((recipe.seed, run.step))
    torch.manual_seed(int(rng.integers(2**31)))
    batch = random_batch(recipe, volumes, run.network.slices, rng, device)
    for optimizer in run.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = _rate(recipe, run.step)
    run.network.train()
    outcome = run.objective.generator(run.network, batch)
    _descend(run.optimizers["optimizer"], outcome.loss, list(run.network.parameters()))
    terms = {k: v.detach() for k, v in outcome.terms.items()}
    critic = run.objective.critic(batch, outcome.made.detach())
    if critic is not None:
        _descend(run.optimizers["critic"], critic, run.objective.critic_parameters())
        terms["critic"] = critic.detach()
    run.step += 1
    keep = min(recipe.average, run.step / (run.step + 10))
    with torch.no_grad():
        for mean, value in zip(run.average.parameters(), run.network.parameters(), strict=True):
            mean.lerp_(value, 1 - keep)
    return terms


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, parameters: list[nn.Parameter]) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, CLIP)
    optimizer.step()


def _rate(recipe: SliceRecipe, step: int) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def random_batch(
    recipe: SliceRecipe,
    volumes: list[list[TrainingVolume]],
    slices: int,
    rng: np.random.Generator,
    device: str = "cpu",
) -> Batch:
    """Patches, each from a source drawn by its weight, under one random acquisition."""
    weights = np.array([s.weight for s in recipe.source]) / sum(s.weight for s in recipe.source)
    images, labels = [], []
    for index in rng.choice(len(volumes), size=recipe.batch, p=weights):
        volume = volumes[index][int(rng.integers(len(volumes[index])))]
        patch, classes = random_patch(volume, recipe.fine, slices, rng)
        if rng.random() < recipe.contrast:
            patch = random_contrast(patch, rng)
        images.append(patch * np.float32(rng.uniform(0.8, 1.2)))
        labels.append(np.full(recipe.fine, NO_LABEL) if classes is None else classes)
    high = torch.from_numpy(np.stack(images)).to(device)
    shares = np.array([p[2] for p in recipe.profiles])
    kind, factor, _ = recipe.profiles[int(rng.choice(len(shares), p=shares / shares.sum()))]
    acquisition = plane_acquisition(recipe.fine, recipe.scale, kind, factor)
    low = acquisition.measure(high)
    middle = slices // 2
    truth, tissues = high[:, middle : middle + 1], torch.from_numpy(np.stack(labels)).to(device)
    measured = low[:, middle : middle + 1]
    if rng.random() < recipe.noisy:
        sigma = rng.uniform(0, recipe.most_noise)
        real, imaginary = (
            torch.from_numpy(rng.standard_normal(low.shape, np.float32)).to(device) for _ in range(2)
        )
        low = torch.hypot(low + sigma * real, sigma * imaginary)

    def finish(image: Tensor) -> Tensor:
        return acquisition.project(image, measured.repeat(len(image) // len(measured), 1, 1, 1))

    return Batch(low, truth, tissues, finish)


def _judge(run: Run, recipe: SliceRecipe, judged: list[Any], terms: list[dict[str, Tensor]]) -> None:
    """Writes the log's next entry; keeps the average where it is the best yet."""
    means = {k: float(torch.stack([t[k] for t in terms if k in t]).mean()) for k in terms[-1]} if terms else {}
    figures = validate(run.average, judged)
    before = [e["gain_db"] for e in run.log]
    entry = {
        "step": run.step,
        "patches": run.step * recipe.batch,
        "gain_db": figures["gain_db"],
        "figures": figures,
        "terms": means,
    }
    if recipe.stage == "final" or not before or figures["gain_db"] >= max(before):
        run.best.load_state_dict(run.average.state_dict())
    run.log.append(entry)


def save_weights(network: SliceNetwork, path: Path, recipe: SliceRecipe, step: int) -> None:
    """The network as it is used: what only training needs left out, in half precision."""
    from safetensors.torch import save_file

    bare = deepcopy(network).cpu().for_inference()
    weights = {k: v.detach().half().contiguous() for k, v in bare.state_dict().items()}
    about = {
        "network": recipe.network,
        "configuration": recipe.configuration,
        "slices": str(network.slices),
        "scale": "x".join(map(str, recipe.scale)),
        "stage": recipe.stage,
        "seed": str(recipe.seed),
        "patches": str(step * recipe.batch),
    }
    partial = path.with_suffix(".partial")
    save_file(weights, partial, metadata=about)
    partial.replace(path)


def _draw(log: list[dict[str, Any]], path: Path, title: str) -> None:
    """The gain over `spline`, and below it the terms of the loss."""
    first = log[0]["terms"]
    terms = {name: [entry["terms"].get(name, 0.0) / (first[name] or 1.0) for entry in log] for name in first}
    panels = {
        title: {"gain over spline (dB)": [entry["gain_db"] for entry in log]},
        "terms of the loss, over their first value": terms,
    }
    draw_curves([entry["step"] for entry in log], panels, path)
