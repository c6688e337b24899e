"""What the steps of every training have in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

LARGEST = 1.0
"""Norm that the gradient is clipped to."""


def descend(loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer, rate: float) -> None:
    """One step of the optimiser along the gradient of `loss`."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), LARGEST)
    optimizer.step()


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """The exponential average of the weights after `step` steps; a plain one while there are few."""
    keep = min(decay, step / (step + 10))
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, 1 - keep)


def tell(out: Path, log: list[dict[str, Any]], seconds: float, say: Callable[[str], None]) -> None:
    """Writes the log to `out` and says its last entry."""
    (out / "log.json").write_text(json.dumps(log, indent=1), encoding="utf-8")
    say(f"step {log[-1]['step']}, {seconds:.0f} s: {json.dumps(log[-1])}")
