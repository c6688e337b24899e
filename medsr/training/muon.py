"""Muon for the kernels, AdamW for the rest: fewer steps to the same loss where steps are what is short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

STEPS = 5
COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Of the Newton-Schulz iteration that brings all singular values near 1 (K. Jordan et al., Muon, 2024)."""


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal, kernel by kernel; AdamW where a group says so.

    A kernel (out, ...) is taken as a matrix (out, rest); kernels stacked in front, as in `MixedConv3d.others`,
    each on its own. Steps are scaled to the size of AdamW's (J. Liu et al., arXiv:2502.16982), so that one
    learning rate serves both.

    Parameters
    ----------
    groups : dictionaries with `params` and `stacked` (leading axes to keep apart; None for AdamW).
    """

    def __init__(
        self, groups: list[dict[str, Any]], lr: float, momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "decay": decay, "stacked": None})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["step"] = torch.zeros(())
                    state["first"] = torch.zeros_like(p, memory_format=torch.contiguous_format)
                    if group["stacked"] is None:
                        state["second"] = torch.zeros_like(p, memory_format=torch.contiguous_format)
                state["step"] += 1
                update = (
                    _adam(p.grad, state)
                    if group["stacked"] is None
                    else _muon(p.grad, state, group["momentum"], group["stacked"])
                )
                p.mul_(1 - group["lr"] * group["decay"]).add_(update, alpha=-group["lr"])


def _adam(gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
    state["first"].lerp_(gradient, 0.1)
    state["second"].lerp_(gradient.square(), 0.01)
    n = float(state["step"])
    return (state["first"] / (1 - 0.9**n)) / ((state["second"] / (1 - 0.99**n)).sqrt() + 1e-8)


def _muon(gradient: Tensor, state: dict[str, Tensor], momentum: float, stacked: int) -> Tensor:
    state["first"].mul_(momentum).add_(gradient)
    nesterov = gradient + momentum * state["first"]
    matrix = nesterov.flatten(stacked + 1)
    return (orthogonal(matrix) * 0.2 * max(matrix.shape[-2:]) ** 0.5).view(gradient.shape)


def orthogonal(matrix: Tensor) -> Tensor:
    """About ``U Vᵀ`` of the matrix (..., m, n) ``U S Vᵀ``, by Newton-Schulz."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
