"""What every linear operator of medsr shares: an adjoint, an autograd rule and shape checks."""

from __future__ import annotations

import abc
from typing import Any

import torch
from torch import Tensor

from medsr.errors import MedsrError


class ShapeError(MedsrError):
    """A tensor does not fit the operator that it is given to."""


class LinearOperator(abc.ABC):
    """A linear map ``A`` between tensors, batched over leading axes.

    `in_shape` and `out_shape` are the trailing axes that the operator acts on; any axes before them are
    batch. Subclasses write `_forward` and `_adjoint`; the backward pass of each is the other, so an
    operator can stand inside a network without storing anything.

    The dtype of the result follows the input.
    """

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]

    @abc.abstractmethod
    def _forward(self, x: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _adjoint(self, y: Tensor) -> Tensor: ...

    def forward(self, x: Tensor) -> Tensor:
        """``A x``; (..., *in_shape) to (..., *out_shape)."""
        _check(type(self).__name__, "input", x, self.in_shape)
        return _Apply.apply(x, self, False)

    def adjoint(self, y: Tensor) -> Tensor:
        """``Aᴴ y``; (..., *out_shape) to (..., *in_shape)."""
        _check(type(self).__name__, "adjoint's input", y, self.out_shape)
        return _Apply.apply(y, self, True)

    def gram(self, x: Tensor) -> Tensor:
        """``AᴴA x``; operators that know a cheaper way override this."""
        return self.adjoint(self.forward(x))

    __call__ = forward

    @property
    def H(self) -> LinearOperator:
        """The adjoint as an operator."""
        return Adjoint(self)

    def __matmul__(self, other: LinearOperator) -> LinearOperator:
        return Composition(self, other)

    def check_adjoint(self, dtype: torch.dtype = torch.float64, pairs: int = 10, seed: int = 0) -> float:
        """The largest ``|<Ax, y> - <x, Aᴴy>| / (‖Ax‖ ‖y‖)`` over random pairs."""
        generator = torch.Generator().manual_seed(seed)
        worst = 0.0
        for _ in range(pairs):
            x = torch.randn(self.in_shape, dtype=dtype, generator=generator)
            y = torch.randn(self.out_shape, dtype=dtype, generator=generator)
            ax, aty = self.forward(x), self.adjoint(y)
            gap = torch.vdot(y.flatten(), ax.flatten()) - torch.vdot(aty.flatten(), x.flatten())
            worst = max(worst, float(gap.abs() / (ax.norm() * y.norm())))
        return worst


class Adjoint(LinearOperator):
    """``Aᴴ`` of an operator ``A``."""

    def __init__(self, operator: LinearOperator) -> None:
        self.operator = operator
        self.in_shape, self.out_shape = operator.out_shape, operator.in_shape

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator._adjoint(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.operator._forward(y)

    @property
    def H(self) -> LinearOperator:
        return self.operator


class Composition(LinearOperator):
    """``A B``: `second` after `first`."""

    def __init__(self, second: LinearOperator, first: LinearOperator) -> None:
        if first.out_shape != second.in_shape:
            raise ShapeError(
                f"{type(second).__name__} @ {type(first).__name__} do not fit",
                got=f"{first.out_shape} into {second.in_shape}",
                rule="the first's output shape is the second's input shape",
            )
        self.second, self.first = second, first
        self.in_shape, self.out_shape = first.in_shape, second.out_shape

    def _forward(self, x: Tensor) -> Tensor:
        return self.second._forward(self.first._forward(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.first._adjoint(self.second._adjoint(y))


class _Apply(torch.autograd.Function):
    """Applies an operator; the backward pass is its adjoint, to any order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, operator: LinearOperator, adjoint: bool) -> Tensor:
        ctx.operator, ctx.adjoint = operator, adjoint
        return operator._adjoint(x) if adjoint else operator._forward(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _Apply.apply(grads[0], ctx.operator, not ctx.adjoint), None, None


def _check(name: str, what: str, x: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(x.shape[x.ndim - len(shape) :]) != shape or x.ndim < len(shape):
        raise ShapeError(
            f"{name}: the {what} has the wrong shape", got=tuple(x.shape), rule=f"its last axes are {shape}"
        )
