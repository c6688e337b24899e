"""Conjugate gradients against dense solves, and their gradients against those of the dense form."""

import pytest
import torch

from medsr.consistency.cg import conjugate_gradients, solve
from medsr.errors import InputError, UsageError

N = 12


def dense(batch=(), seed=0, dtype=torch.complex128, rank=N):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(*batch, rank, N, dtype=dtype, generator=generator)
    return a.mH @ a


def vector(*batch, seed=9, dtype=torch.complex128):
    return torch.randn(*batch, N, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def apply(matrix):
    return lambda x: (matrix @ x.unsqueeze(-1)).squeeze(-1)


@pytest.mark.parametrize("dtype", [torch.complex128, torch.float64])
@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_dense_solve(dtype, damping):
    g, r, b = dense((3,), dtype=dtype), dense((3,), seed=1, dtype=dtype), vector(3, dtype=dtype)
    for regulariser, matrix in ((None, torch.eye(N, dtype=dtype)), (apply(r), r)):
        solution = conjugate_gradients(
            apply(g), b, damping=damping, regulariser=regulariser, item_dims=1, iterations=200, tolerance=1e-13
        )
        truth = torch.linalg.solve(g + damping * matrix, b)
        assert (solution.x - truth).norm() < 1e-9 * truth.norm()
        assert bool((solution.residual < 1e-12).all())


def test_items_do_not_wait_for_each_other():
    """Each item gives what it gives alone, and stops when it is done."""
    easy = torch.eye(N, dtype=torch.complex128)
    g, b = torch.stack([easy, dense() + 20 * easy, 100 * (dense(seed=2) + 5 * easy)]), vector(3)
    together = conjugate_gradients(apply(g), b, item_dims=1, iterations=100, tolerance=1e-5)
    for i in range(3):
        alone = conjugate_gradients(apply(g[i]), b[i], item_dims=1, iterations=100, tolerance=1e-5)
        assert int(alone.iterations) == int(together.iterations[i])
        assert (alone.x - together.x[i]).norm() < 1e-9 * alone.x.norm()
    assert int(together.iterations[0]) == 1 < int(together.iterations[1]) < int(together.iterations[2])


def test_items_of_two_axes_and_damping_of_each():
    b = vector(2, 3).reshape(2, 3, 3, 4)
    damping = torch.tensor([[0.5, 1.0, 2.0], [3.0, 4.0, 5.0]], dtype=torch.float64)
    x = conjugate_gradients(lambda x: x, b, damping=damping, iterations=1).x
    assert (x - b / (1 + damping[..., None, None])).abs().max() < 1e-12


def test_fixed_count_is_the_count():
    solution = conjugate_gradients(apply(dense((2,))), vector(2), item_dims=1, iterations=4)
    assert solution.iterations.tolist() == [4, 4]


def test_initial_and_zero_right_hand_side():
    g, b = dense(), vector()
    x = torch.linalg.solve(g, b)
    near = conjugate_gradients(apply(g), b, item_dims=1, iterations=50, tolerance=1e-6, initial=x)
    assert int(near.iterations) == 0 and torch.equal(near.x, x)
    zero = conjugate_gradients(apply(g), 0 * b, item_dims=1)
    assert not zero.x.any() and float(zero.residual) == 0


def test_preconditioner_gives_the_same_solution_sooner():
    scale = torch.logspace(0, 4, N, dtype=torch.float64)
    g = dense() + torch.diag(scale).to(torch.complex128)
    options = {"item_dims": 1, "iterations": 200, "tolerance": 1e-10}
    plain = conjugate_gradients(apply(g), vector(), **options)
    aided = conjugate_gradients(apply(g), vector(), preconditioner=lambda r: r / g.diagonal().real, **options)
    assert (plain.x - aided.x).norm() < 1e-8 * plain.x.norm()
    assert int(aided.iterations) < int(plain.iterations)


def test_repeats_bit_for_bit():
    g, b = dense((2,), dtype=torch.complex64), vector(2, dtype=torch.complex64)
    first, second = (conjugate_gradients(apply(g), b, damping=1.0, item_dims=1).x for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("differentiate", ["implicit", "unrolled"])
@pytest.mark.parametrize("scalar", [True, False])
def test_gradients_equal_those_of_the_dense_form(differentiate, scalar):
    g, r, b = dense((2,)), dense((2,), seed=1), vector(2)
    start = torch.tensor(0.7, dtype=torch.float64) if scalar else torch.tensor([0.7, 1.4], dtype=torch.float64)
    weight = vector(2, seed=4)

    def gradients(form):
        bb, damping = b.clone().requires_grad_(), start.clone().requires_grad_()
        (weight.conj() * form(bb, damping)).real.sum().backward()
        return bb.grad, damping.grad

    def iterative(bb, damping):
        return solve(
            apply(g), bb, damping=damping, regulariser=apply(r), item_dims=1, iterations=200, tolerance=1e-14,
            differentiate=differentiate,
        )  # fmt: skip

    def direct(bb, damping):
        return torch.linalg.solve(g + (damping[..., None, None] if damping.ndim else damping) * r, bb)

    for ours, truth in zip(gradients(iterative), gradients(direct), strict=True):
        assert (ours - truth).norm() < 1e-8 * truth.norm()


def test_unrolled_reaches_the_operator_and_the_start():
    g, b = dense(), vector()
    factor = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    start = vector(seed=3).requires_grad_()
    x = solve(
        lambda z: factor * apply(g)(z), b, damping=1.0, item_dims=1, iterations=3, initial=start,
        differentiate="unrolled",
    )  # fmt: skip
    x.abs().sum().backward()
    assert float(factor.grad.abs()) > 0 and float(start.grad.abs().sum()) > 0


def test_implicit_second_derivative():
    g = dense()

    def form(b, damping):
        return solve(apply(g), b, damping=damping, item_dims=1, iterations=100, tolerance=1e-14)

    b, damping = vector().requires_grad_(), torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(form, (b, damping))
    assert torch.autograd.gradgradcheck(form, (b, damping))


def test_refusals():
    b = vector()
    for options in (
        {"damping": -1.0},
        {"item_dims": 0},
        {"item_dims": 2},
        {"iterations": -1},
        {"tolerance": -1.0},
    ):
        with pytest.raises(UsageError):
            conjugate_gradients(lambda x: x, b, **{"item_dims": 1, **options})
    with pytest.raises(UsageError):
        solve(lambda x: x, b, item_dims=1, differentiate="backwards")
    with pytest.raises(InputError, match="NaN"):
        conjugate_gradients(lambda x: x, b * float("nan"), item_dims=1)
