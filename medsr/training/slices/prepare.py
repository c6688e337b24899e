"""What is trained before a final stage begins: the extractor of features, the two score predictors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medsr.networks.gcn import DenoisingAutoencoder
from medsr.training.losses import earth_mover
from medsr.training.objectives import Objective
from medsr.training.scores import aesthetic_target, subjective_target
from medsr.training.slices.recipe import SliceRecipe
from medsr.training.slices.systems import prepared_modules
from medsr.training.slices.volumes import TrainingVolume, random_patch

STEPS = 300
BATCH = 8
RATE = 2e-3
NOISE = 0.05
"""Greatest σ of the noise that the autoencoder learns to remove, and that a distortion adds."""


def prepare(
    objective: Objective,
    recipe: SliceRecipe,
    volumes: list[list[TrainingVolume]],
    say: Callable[[str], None],
    device: str = "cpu",
) -> None:
    """Trains what `prepared_modules` of the objective names, on fine patches of the training volumes.

    The autoencoder learns to denoise, ``mean (D(E(x + n)) - x)²``; each score predictor the distribution of its
    score (`medsr.training.scores`) of patches under known distortions, blur and noise of random strength, by the
    earth mover's loss.
    """
    for turn, (name, module) in enumerate(prepared_modules(objective).items()):
        losses = []
        optimizer = torch.optim.AdamW(module.parameters(), lr=RATE, betas=(0.9, 0.99))
        for step in range(STEPS):
            rng = np.random.default_rng((recipe.seed, turn, step, 7))
            torch.manual_seed(int(rng.integers(2**31)))
            loss = _loss(name, module, _patches(recipe, volumes, rng).to(device), rng)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - (step + 1) / (STEPS + 1))
            losses.append(loss.detach())
        tenth = max(1, STEPS // 10)
        first, last = (float(torch.stack(some).mean()) for some in (losses[:tenth], losses[-tenth:]))
        say(f"{name}: loss {first:.4g} at first, {last:.4g} at last")


def _loss(name: str, module: nn.Module, truth: Tensor, rng: np.random.Generator) -> Tensor:
    if isinstance(module, DenoisingAutoencoder):
        return F.mse_loss(module(truth + NOISE * torch.randn_like(truth)), truth)
    image = distorted(truth, rng)
    target = subjective_target(image, truth) if name == "subjective" else aesthetic_target(image)
    return earth_mover(module(image).distribution, target)


def distorted(truth: Tensor, rng: np.random.Generator) -> Tensor:
    """(B, 1, H, W) each blurred (σ up to 2.5 pixels along either axis) and made noisy at random."""
    images = []
    for image in truth:
        blurred = image[None]
        for axis in (2, 3):
            width = float(rng.choice([0.0, rng.uniform(0.3, 2.5)]))
            if width:
                reach = torch.arange(-7, 8, dtype=truth.dtype, device=truth.device)
                kernel = torch.exp(-0.5 * (reach / width) ** 2)
                kernel = (kernel / kernel.sum()).reshape((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
                pad = (0, 0, 7, 7) if axis == 2 else (7, 7, 0, 0)
                blurred = F.conv2d(F.pad(blurred, pad, mode="replicate"), kernel)
        noise = float(rng.choice([0.0, rng.uniform(0, NOISE)]))
        images.append(blurred + noise * torch.randn_like(blurred))
    return torch.cat(images)


def _patches(recipe: SliceRecipe, volumes: list[list[TrainingVolume]], rng: np.random.Generator) -> Tensor:
    weights = np.array([s.weight for s in recipe.source]) / sum(s.weight for s in recipe.source)
    patches = []
    for index in rng.choice(len(volumes), size=BATCH, p=weights):
        volume = volumes[index][int(rng.integers(len(volumes[index])))]
        patches.append(random_patch(volume, recipe.fine, 1, rng)[0])
    return torch.from_numpy(np.stack(patches))
