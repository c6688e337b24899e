"""Muon for the kernels, AdamW for the rest: fewer steps to the same loss where steps are what is short."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

STEPS = 5
COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Of the Newton-Schulz iteration that brings all singular values near 1 (K. Jordan et al., Muon, 2024)."""


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal, kernel by kernel; AdamW where a group says so.

    A kernel (out, ...) is taken as a matrix (out, rest); kernels stacked in front, as in `MixedConv3d.others`,
    each on its own. Steps are scaled to the size of AdamW's (J. Liu et al., arXiv:2502.16982), so that one
    learning rate serves both. Kernels of one shape go together: small networks have many.

    Parameters
    ----------
    groups : dictionaries with `params` and `stacked` (leading axes to keep apart; None for AdamW), and `decay`
        where it is not that of all.
    """

    def __init__(
        self, groups: list[dict[str, Any]], lr: float, momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "decay": decay, "stacked": None})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; there is no closure."""
        for group in self.param_groups:
            taken = [p for p in group["params"] if p.grad is not None]
            if group["stacked"] is None:
                updates = [_adam(p.grad, self._state(p)) for p in taken]
            else:
                momenta = [_nesterov(p.grad, self._state(p), group["momentum"]) for p in taken]
                updates = _muon(momenta, group["stacked"])
            for p, update in zip(taken, updates, strict=True):
                p.mul_(1 - group["lr"] * group["decay"]).add_(update, alpha=-group["lr"])

    def _state(self, p: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[p]
        if not state:
            state["step"] = torch.zeros(())
        state["step"] += 1
        return state


def kernels_and_rest(parameters: Iterable[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """The groups of a network of plain convolutions: what is a matrix of more than one row and column, and the
    rest (biases, slopes, a single output), whose weights do not decay."""
    kernels: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for p in parameters:
        (kernels if p.ndim >= 2 and min(p.shape[0], p[0].numel()) > 1 else rest).append(p)
    groups: list[dict[str, Any]] = [
        {"params": kernels, "stacked": 0, "decay": decay},
        {"params": rest, "stacked": None, "decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _adam(gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
    first, second = _moment("first", gradient, state), _moment("second", gradient, state)
    first.lerp_(gradient, 0.1)
    second.lerp_(gradient.square(), 0.01)
    n = float(state["step"])
    return (first / (1 - 0.9**n)) / ((second / (1 - 0.99**n)).sqrt() + 1e-8)


def _nesterov(gradient: Tensor, state: dict[str, Tensor], momentum: float) -> Tensor:
    first = _moment("first", gradient, state)
    first.mul_(momentum).add_(gradient)
    return gradient + momentum * first


def _moment(name: str, gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
    if name not in state:
        state[name] = torch.zeros_like(gradient, memory_format=torch.contiguous_format)
    return state[name]


def _muon(momenta: list[Tensor], stacked: int) -> list[Tensor]:
    """Scaled orthogonal steps, those of one shape together."""
    alike: dict[torch.Size, list[int]] = {}
    for index, momentum in enumerate(momenta):
        alike.setdefault(momentum.flatten(stacked + 1).shape, []).append(index)
    updates = list(momenta)
    for shape, indices in alike.items():
        steps = orthogonal(torch.stack([momenta[i].flatten(stacked + 1) for i in indices]))
        for index, step in zip(indices, steps * (0.2 * max(shape[-2:]) ** 0.5), strict=True):
            updates[index] = step.view(momenta[index].shape)
    return updates


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
