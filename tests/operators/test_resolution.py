"""The resolution operator: adjoint, dense truth, autograd, batches, dtypes."""

import numpy as np
import pytest
import torch

from medsr.operators.base import ShapeError
from medsr.operators.modeproduct import mode_product, mode_product_by_rows
from medsr.operators.pointspread import PointSpread
from medsr.operators.resolution import Resolution

CASES = {
    "thick slices": Resolution(
        (8, 9, 20), (1, 1, 1), (8, 9, 5), (1, 1, 4), (None, None, PointSpread("gaussian", 4))
    ),
    "gap": Resolution((8, 9, 20), (1, 1, 1), (8, 9, 5), (1, 1, 4), (None, None, PointSpread("boxcar", 3))),
    "overlap": Resolution((8, 9, 20), (1, 1, 1), (8, 9, 10), (1, 1, 2), (None, None, PointSpread("rf", 4))),
    "isotropic": Resolution((12, 14, 16), (1, 1, 1), (6, 7, 8), (2, 2, 2), [PointSpread("kspace", 2)] * 3),
    "real ratios": Resolution(
        (12, 13, 17),
        (0.9, 0.8, 0.7),
        (7, 6, 3),
        (1.5, 1.9, 4.1),
        [PointSpread("kspace", 1.5), PointSpread("gaussian", 2), PointSpread("rf", 5)],
        (0.2, -0.3, 0.4),
    ),
    "ratio 12": Resolution(
        (24, 4, 4), (0.5, 1, 1), (2, 4, 4), (6, 1, 1), (PointSpread("gaussian", 6), None, None)
    ),
}


@pytest.fixture(params=list(CASES), ids=list(CASES))
def operator(request):
    return CASES[request.param]


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_adjoint(operator, dtype, bound):
    assert operator.check_adjoint(dtype) < bound
    assert operator.H.check_adjoint(dtype) < bound


def test_complex_adjoint(operator):
    assert operator.check_adjoint(torch.complex128) < 1e-12


def test_against_the_dense_kronecker_product(operator):
    matrices = [np.eye(n) if m is None else m for m, n in zip(operator.matrices, operator.in_shape, strict=True)]
    dense = np.kron(np.kron(matrices[0], matrices[1]), matrices[2])
    x = torch.randn(operator.in_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(operator(x).flatten(), dense @ x.flatten().numpy(), atol=1e-12)


def test_gram(operator):
    x = torch.randn(operator.in_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(operator.gram(x), operator.adjoint(operator(x)))


def test_backward_is_the_adjoint(operator):
    x = torch.randn(operator.in_shape, dtype=torch.float64, requires_grad=True)
    y = torch.randn(operator.out_shape, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(operator(x), x, y)
    torch.testing.assert_close(gradient, operator.adjoint(y))


def test_gradcheck_to_second_order():
    small = Resolution((3, 3, 4), (1, 1, 1), (3, 3, 2), (1, 1, 2), (None, None, PointSpread("gaussian", 2)))
    x = torch.randn(3, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(small, (x,))
    assert torch.autograd.gradgradcheck(small, (x,))


def test_batches_and_dtype(operator):
    x = torch.randn(2, 3, *operator.in_shape)
    y = operator(x)
    assert y.shape == (2, 3, *operator.out_shape)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y[1, 2], operator(x[1, 2]), rtol=1e-5, atol=1e-6)


def test_constants_stay_constant(operator):
    torch.testing.assert_close(
        operator(torch.ones(operator.in_shape, dtype=torch.float64)),
        torch.ones(operator.out_shape, dtype=torch.float64),
    )


def test_composition():
    first, second = (
        CASES["thick slices"],
        Resolution((8, 9, 5), (1, 1, 4), (4, 9, 5), (2, 1, 4), (PointSpread("boxcar", 2), None, None)),
    )
    both = second @ first
    x = torch.randn(8, 9, 20, dtype=torch.float64)
    torch.testing.assert_close(both(x), second(first(x)))
    assert both.check_adjoint() < 1e-12
    with pytest.raises(ShapeError, match="do not fit"):
        _ = first @ second


def test_wrong_shapes_are_named(operator):
    with pytest.raises(ShapeError, match="Resolution"):
        operator(torch.zeros(3, 3, 3))


def test_modes_rebuild_the_factors(operator):
    for matrix, u, s, v in zip(
        operator.matrices, operator.modes.u, operator.modes.s, operator.modes.v, strict=True
    ):
        if matrix is None:
            assert u is None
            assert (s == 1).all()
        else:
            np.testing.assert_allclose((u * s) @ v.T, matrix, atol=1e-12)


@pytest.mark.parametrize("kept", [(), (0,), (2,), (0, 1)])
def test_by_rows_is_the_plain_product(kept):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 5, 6, dtype=torch.float64, generator=generator)
    factors = [
        None if a in kept else torch.randn(70, n, dtype=torch.float64, generator=generator)
        for a, n in enumerate(x.shape)
    ]
    seen = []
    got = mode_product_by_rows([(x, factors), (x, factors)], lambda f, stage: seen.append(f))
    torch.testing.assert_close(got, 2 * mode_product(x, factors))
    assert seen == sorted(seen)
    assert seen[-1] == 1
