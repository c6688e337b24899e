"""Muon for the convolutions, Adam for the rest, as one optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from medsr.training.muon import orthogonal


class Muon(torch.optim.Optimizer):
    """Steps of kernels along their orthogonalised momentum; of biases and slopes, Adam's.

    A kernel (outputs, inputs, h, w) is a matrix (outputs, inputs h w). The momentum's singular values are all made
    about one by five Newton-Schulz iterations, and the step is scaled to the size that Adam's has, so that both
    share a learning rate. K. Jordan et al. (2024), https://kellerjordan.github.io/posts/muon; the scale: J. Liu et
    al., arXiv:2502.16982. Kernels of one shape go together: small networks have many.

    Parameters
    ----------
    lr, weight_decay : of all. momentum : of the kernels (Nesterov's). betas : of the rest.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 1e-4,
    ) -> None:
        super().__init__(
            list(params), {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; there is no closure."""
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                if is_matrix(p):
                    alike.setdefault((p.shape[0], p[0].numel()), []).append(p)
                else:
                    self._adam(p, group)
            for kernels in alike.values():
                self._muon(kernels, group)

    def _muon(self, kernels: list[Tensor], group: dict[str, Any]) -> None:
        moments = []
        for p in kernels:
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            state["momentum"].lerp_(p.grad, 1 - group["momentum"])
            moments.append(p.grad.lerp(state["momentum"], group["momentum"]).flatten(1))  # type: ignore[union-attr]
        steps = orthogonal(torch.stack(moments))
        scale = 0.2 * max(steps.shape[1:]) ** 0.5
        for p, step in zip(kernels, steps, strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.sub_(step.reshape(p.shape), alpha=group["lr"] * scale)

    def _adam(self, p: Tensor, group: dict[str, Any]) -> None:
        state, (slow, slower) = self.state[p], group["betas"]
        if not state:
            state |= {"mean": torch.zeros_like(p), "square": torch.zeros_like(p), "step": torch.zeros(())}
        grad = p.grad
        assert grad is not None
        state["step"] += 1
        state["mean"].lerp_(grad, 1 - slow)
        state["square"].lerp_(grad**2, 1 - slower)
        t = float(state["step"])
        mean, square = state["mean"] / (1 - slow**t), state["square"] / (1 - slower**t)
        p.sub_(mean / (square.sqrt() + 1e-8), alpha=group["lr"])


def is_matrix(p: Tensor) -> bool:
    """Whether a parameter is stepped as a matrix: two sides of more than one."""
    return p.ndim >= 2 and min(p.shape[0], p[0].numel()) > 1
