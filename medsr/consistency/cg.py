"""Conjugate gradients for ``(AᴴA + λR) x = b``, many items at once, each with its own steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from medsr.errors import InputError, UsageError

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Solution:
    """x : the solution, shaped as b.
    iterations : (*batch) int64, how many steps each item took.
    residual : (*batch) float, ``‖b - (AᴴA + λR) x‖ / ‖b‖`` as the recursion has it.
    """

    x: Tensor
    iterations: Tensor
    residual: Tensor


def conjugate_gradients(
    gram: Map,
    b: Tensor,
    *,
    damping: float | Tensor = 0.0,
    regulariser: Map | None = None,
    item_dims: int = 2,
    iterations: int = 10,
    tolerance: float = 0.0,
    initial: Tensor | None = None,
    preconditioner: Map | None = None,
) -> Solution:
    """Solve ``(G + λ R) x = b`` for hermitian, positive G = AᴴA and R, item by item.

    Step lengths, stop and count are each item's own: items (frames, say) that share a call do not slow each
    other down, and give what they would alone. Written in torch throughout, so autograd can go through the
    steps; `solve` differentiates at the fixed point instead.

    Parameters
    ----------
    gram : ``G``, linear on tensors shaped as b; hermitian positive semi-definite on each item.
    b : (*batch, *item), real or complex.
    damping : λ >= 0, a number or a tensor that broadcasts against (*batch).
    regulariser : ``R``; the identity by default (Tikhonov).
    item_dims : how many trailing axes make an item.
    iterations : at most so many.
    tolerance : an item stops when ``‖r‖ <= tolerance ‖b‖``; 0 makes all the iterations (or stops at an exact
        solution).
    initial : x to start from; zero by default.
    preconditioner : a hermitian positive approximation to the inverse of ``G + λR``.

    Hestenes and Stiefel, J Res Natl Bur Stand 49:409 (1952); for SENSE Pruessmann et al., Magn Reson Med
    46:638 (2001), doi:10.1002/mrm.1241.
    """
    if not 1 <= item_dims <= b.ndim:
        raise UsageError("an item has at least one axis", got=f"item_dims {item_dims}", rule=f"1 to {b.ndim}")
    if iterations < 0 or tolerance < 0:
        raise UsageError("conjugate gradients cannot stop there", got=f"{iterations} iterations, {tolerance}")
    weight = _damping(damping, b, item_dims)

    def normal(x: Tensor) -> Tensor:
        return gram(x) + weight * (x if regulariser is None else regulariser(x))

    def inner(u: Tensor, v: Tensor) -> Tensor:
        return _inner(u, v, item_dims)

    scale = inner(b, b)
    target = scale.detach() * tolerance**2
    if initial is None:
        x, r = torch.zeros_like(b), b
    else:
        x = initial
        r = b - normal(x)
    z = r if preconditioner is None else preconditioner(r)
    p, rz, rr = z, inner(r, z), inner(r, r)
    count = torch.zeros(rr.shape, dtype=torch.int64, device=b.device)
    for _ in range(iterations):
        going = (rr.detach() > target) & (rz.detach() > 0)
        if not bool(going.any()):
            break
        q = normal(p)
        step = _ratio(rz, inner(p, q), going)
        x, r = x + step * p, r - step * q
        z = r if preconditioner is None else preconditioner(r)
        old, rz, rr = rz, inner(r, z), inner(r, r)
        p = z + _ratio(rz, old, going) * p
        count += going.reshape(count.shape)
    if not bool(torch.isfinite(rr.detach()).all()):
        raise InputError(
            "conjugate gradients met values that are not finite", hint="check the data for NaN or overflow"
        )
    flat = count.shape[: b.ndim - item_dims]
    residual = (rr / torch.where(scale > 0, scale, torch.ones_like(scale))).sqrt().detach()
    return Solution(x, count.reshape(flat), residual.reshape(flat))


def solve(
    gram: Map,
    b: Tensor,
    *,
    damping: float | Tensor = 0.0,
    differentiate: Literal["implicit", "unrolled"] = "implicit",
    **options: Any,
) -> Tensor:
    """``x = (G + λR)⁻¹ b`` by `conjugate_gradients`, inside a network.

    implicit : the backward pass is a second solve, ``∂b = (G + λR)⁻¹ ∂x`` and ``∂λ = -Re <∂b, R x>``. Nothing
        is stored between iterations; exact where the solve has converged. Gradients reach b and λ.
    unrolled : through the steps as taken; exact for any number of them, at the memory of all of them.
        Gradients also reach tensors inside gram, regulariser, preconditioner and initial.
    """
    if differentiate == "unrolled":
        return conjugate_gradients(gram, b, damping=damping, **options).x
    if differentiate != "implicit":
        raise UsageError("unknown way to differentiate", got=repr(differentiate), rule="implicit or unrolled")
    weight = torch.as_tensor(damping, dtype=b.real.dtype if b.is_complex() else b.dtype, device=b.device)
    return _Implicit.apply(b, weight, gram, options)


class _Implicit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, b: Tensor, damping: Tensor, gram: Map, options: dict[str, Any]) -> Tensor:
        x = conjugate_gradients(gram, b, damping=damping, **options).x
        ctx.save_for_backward(x, damping)
        ctx.gram, ctx.options = gram, options
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x, damping = ctx.saved_tensors
        options = {**ctx.options, "initial": None}
        g = _Implicit.apply(grads[0], damping, ctx.gram, options)
        if not ctx.needs_input_grad[1]:
            return g, None, None, None
        regulariser, dims = options.get("regulariser"), options.get("item_dims", 2)
        rx = x if regulariser is None else regulariser(x)
        per_item = -_inner(g, rx, dims).reshape(x.shape[: x.ndim - dims])
        return g, per_item.sum_to_size(damping.shape), None, None


def _inner(u: Tensor, v: Tensor, dims: int) -> Tensor:
    """``Re <u, v>`` of each item, its axes kept at length one."""
    product = (u.conj() * v).real if u.is_complex() else u * v
    return product.sum(tuple(range(-dims, 0)), keepdim=True)


def _ratio(above: Tensor, below: Tensor, going: Tensor) -> Tensor:
    """``above / below`` where an item still goes on, else zero; no gradient from what is left out."""
    safe = going & (below.detach() > 0)
    return torch.where(safe, above / torch.where(safe, below, torch.ones_like(below)), torch.zeros_like(above))


def _damping(damping: float | Tensor, b: Tensor, item_dims: int) -> Tensor:
    real = b.real.dtype if b.is_complex() else b.dtype
    weight = torch.as_tensor(damping, dtype=real, device=b.device)
    if bool((weight.detach() < 0).any()) or not bool(torch.isfinite(weight.detach()).all()):
        raise UsageError("the regularisation is negative or not finite", got=damping, rule="λ >= 0")
    return weight.reshape(*weight.shape, *(1 for _ in range(item_dims)))
