"""Conjugate gradients on one complex item, in place: the inner loops of `medsr.consistency.tikhonov`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]
Watch = Callable[[int, Tensor], None]

INNER_TOLERANCE = 0.05
"""Relative residual to which the equations of the principal coils are solved for one preconditioning."""

INNER_ITERATIONS = 40

RECYCLED = 16
"""Directions of earlier inner solves that later ones are kept conjugate to."""


@dataclass(frozen=True)
class Stop:
    """iterations : at most so many. tolerance : or when ``‖r‖ <= tolerance ‖b‖``."""

    iterations: int
    tolerance: float


class Directions:
    """Directions P and their images ``Q = (G + λ) P``, conjugate to each other, of solves with one matrix.

    For short solves, as inside `nested_cg`: what rounding leaves of the residual along old directions is not
    solved again, so a solve that goes down to rounding would stall there.
    """

    def __init__(self, like: Tensor, most: int = RECYCLED) -> None:
        self.p, self.q = (like.new_empty(most, like.numel()) for _ in range(2))
        self.scale = like.new_empty(most)
        self.count = self.old = 0

    def seal(self) -> None:
        """What was recorded so far is kept conjugate from here on."""
        self.old = self.count

    def project(self, x: Tensor, r: Tensor) -> None:
        """Solve along the old directions: into `x`, out of the residual `r`."""
        if self.old:
            old = slice(0, self.old)
            share = _inner(self.p[old], r) / self.scale[old]
            x.view(-1).addmv_(self.p[old].mT, share)
            r.view(-1).addmv_(self.q[old].mT, share, alpha=-1)

    def conjugate(self, p: Tensor, z: Tensor) -> None:
        """Take from `p` its part along the old directions, where `z` is what `p` gained in this step."""
        if self.old:
            old = slice(0, self.old)
            p.view(-1).addmv_(self.p[old].mT, _inner(self.q[old], z) / self.scale[old], alpha=-1)

    def record(self, p: Tensor, q: Tensor, scale: float) -> None:
        if self.count < len(self.p):
            self.p[self.count], self.q[self.count] = p.flatten(), q.flatten()
            self.scale[self.count] = scale
            self.count += 1


def pcg(
    gram: Map,
    b: Tensor,
    damping: float,
    stop: Stop,
    *,
    precondition: Map | None = None,
    start: Tensor | None = None,
    watch: Watch | None = None,
    directions: Directions | None = None,
) -> tuple[Tensor, Tensor, int]:
    """``(G + λ) x = b`` by preconditioned conjugate gradients; x, the residual and the steps taken.

    directions : of earlier solves with the same matrix, to stay conjugate to; this one's are added.
    """
    target = stop.tolerance**2 * dot(b, b)
    if start is None:
        x, r = torch.zeros_like(b), b.clone()
    else:
        x = start.clone()
        r = b - gram(x).add_(x, alpha=damping)
    if directions is not None:
        directions.project(x, r)
    rr, rz, steps = dot(r, r), 0.0, 0
    p: Tensor | None = None
    while steps < stop.iterations and rr > target:
        z = r if precondition is None else precondition(r)
        old, rz = rz, rr if precondition is None else dot(r, z)
        p = z.clone() if p is None else p.mul_(rz / old).add_(z)
        if directions is not None:
            directions.conjugate(p, z)
        q = gram(p).add_(p, alpha=damping)
        scale = dot(p, q)
        if directions is not None:
            directions.record(p, q, scale)
        step = rz / scale
        x.add_(p, alpha=step)
        r.sub_(q, alpha=step)
        rr = dot(r, r)
        steps += 1
        if watch is not None:
            watch(steps, x)
    return x, r, steps


def nested_cg(
    few: Map,
    rest: Map,
    b: Tensor,
    damping: float,
    stop: Stop,
    *,
    precondition: Map,
    start: Tensor | None = None,
    watch: Watch | None = None,
) -> tuple[Tensor, Tensor, int]:
    """``(F + E + λ) x = b`` where F is most of the matrix and cheaper than E: flexible conjugate gradients.

    Each step is preconditioned by an inner `pcg` on ``(F + λ) z = r``. Its own residual tells what F makes of z,
    so that only E is applied outside. Inner solves stay conjugate to those before, and lose little by starting
    anew. Directions outside are made conjugate by Polak and Ribière's formula, for the preconditioner changes:
    Notay, SIAM J Sci Comput 22:1444 (2000), doi:10.1137/S1064827599362314. The split by coils and the use of the
    inner residual are ours.
    """
    norm = dot(b, b)
    target = stop.tolerance**2 * norm
    if start is None:
        x, r = torch.zeros_like(b), b.clone()
    else:
        x = start.clone()
        r = b - few(x).add_(rest(x)).add_(x, alpha=damping)
    rr, rz, steps = dot(r, r), 0.0, 0
    directions = Directions(b)
    p = q = last = r
    while steps < stop.iterations and rr > target:
        # no further than the outer residual has to fall
        inner = Stop(INNER_ITERATIONS, max(INNER_TOLERANCE, 0.3 * (target / rr) ** 0.5))
        z, left, _ = pcg(few, r, damping, inner, precondition=precondition, directions=directions)
        directions.seal()
        image = rest(z).add_(r).sub_(left)
        old, rz = rz, dot(r, z)
        if steps == 0:
            p, q = z, image
        else:
            turn = (rz - dot(last, z)) / old
            p, q = p.mul_(turn).add_(z), q.mul_(turn).add_(image)
        step = dot(r, p) / dot(p, q)
        x.add_(p, alpha=step)
        last, r = r, torch.sub(r, q, alpha=step)
        rr = dot(r, r)
        steps += 1
        if watch is not None:
            watch(steps, x)
    return x, r, steps


def _inner(rows: Tensor, v: Tensor) -> Tensor:
    """``rowsᴴ v``; the conjugate of the vector is made, not that of the matrix."""
    return torch.mv(rows, v.flatten().conj().resolve_conj()).conj().resolve_conj()


def dot(u: Tensor, v: Tensor) -> float:
    """``Re <u, v>``."""
    return torch.dot(torch.view_as_real(u).view(-1), torch.view_as_real(v).view(-1)).item()
