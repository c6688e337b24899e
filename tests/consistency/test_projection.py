"""The projection: consistent, idempotent, differentiable, and only where the data decide."""

import numpy as np
import pytest
import torch

from medsr.consistency.projection import Projection
from medsr.consistency.wiener import gain, noise_model, weighted, wiener
from medsr.operators.pointspread import PointSpread
from medsr.operators.resolution import Resolution
from tests.conftest import smooth_head

CASES = {
    "z4 gaussian": ((16, 18, 32), (1, 1, 1), (16, 18, 8), (1, 1, 4), (None, None, PointSpread("gaussian", 4))),
    "z4 gap": ((16, 18, 32), (1, 1, 1), (16, 18, 8), (1, 1, 4), (None, None, PointSpread("boxcar", 3))),
    "x2 kspace": ((16, 18, 20), (1, 1, 1), (8, 9, 10), (2, 2, 2), [PointSpread("kspace", 2)] * 3),
    "x3.3 gaussian": (
        (33, 20, 20),
        (1, 1, 1),
        (10, 20, 20),
        (3.3, 1, 1),
        (PointSpread("gaussian", 3.3), None, None),
    ),
}


@pytest.fixture(params=list(CASES), ids=list(CASES))
def operator(request):
    return Resolution(*CASES[request.param])


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-4), (torch.float64, 1e-4)])
def test_the_projected_image_explains_the_data(operator, dtype, bound):
    y = torch.randn(operator.out_shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    x = Projection(operator).project(torch.zeros(operator.in_shape, dtype=dtype), y)
    assert (operator(x) - y).norm() <= bound * y.norm()
    assert x.dtype == dtype


def test_exact_without_a_ridge(operator):
    generator = torch.Generator().manual_seed(1)
    projection = Projection(operator, ridge=0.0)
    x = torch.randn(operator.in_shape, dtype=torch.float64, generator=generator)
    y = torch.randn(operator.out_shape, dtype=torch.float64, generator=generator)
    once = projection.project(x, y)
    torch.testing.assert_close(operator(once), y, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(projection.project(once, y), once, atol=1e-9, rtol=1e-9)
    null = projection.null_space(x)
    torch.testing.assert_close(operator(null), torch.zeros_like(y), atol=1e-9, rtol=0)
    assert abs(torch.dot((once - x).flatten(), null.flatten())) < 1e-8 * once.norm() * null.norm()


def test_pseudo_inverse_against_numpy():
    operator = Resolution((5, 4, 8), (1, 1, 1), (5, 4, 3), (1, 1, 2.7), (None, None, PointSpread("rf", 3)))
    dense = np.kron(np.eye(20), operator.matrices[2])
    y = torch.randn(operator.out_shape, dtype=torch.float64)
    got = Projection(operator, ridge=0.0).pseudo_inverse(y)
    np.testing.assert_allclose(got.flatten(), np.linalg.pinv(dense) @ y.flatten().numpy(), atol=1e-9)


def test_differentiable_and_batched(operator):
    projection = Projection(operator)
    x = torch.randn(2, *operator.in_shape, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, *operator.out_shape, dtype=torch.float64)
    out = projection.project(x, y)
    out.square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * projection.null_space(out.detach()), atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(out[1], projection.project(x[1], y[1]))


def _scan(sigma):
    truth = torch.from_numpy(smooth_head((40, 44, 48)))
    rng = np.random.default_rng(3)
    real, imaginary = (torch.from_numpy(rng.standard_normal(truth.shape, np.float32)) for _ in range(2))
    return truth, torch.hypot(truth + sigma * real, sigma * imaginary)


def test_wiener_takes_noise_away_and_keeps_the_image():
    truth, y = _scan(6.0)
    clean = wiener(y, noise_model(y, 6.0))
    mask = truth > 10
    before, after = (((e - truth)[mask] ** 2).mean().sqrt() for e in (y, clean))
    assert after < 0.85 * before
    assert (y - clean).norm() <= 1.1 * 6.0 * y.numel() ** 0.5


def test_wiener_without_noise_is_the_measurement():
    _, y = _scan(0.0)
    assert wiener(y, noise_model(y, 0.0)) is y


def test_the_gain_is_that_of_the_filter():
    _, y = _scan(6.0)
    gains = gain(y, noise_model(y, 6.0))
    assert gains.min() >= 0 and gains.max() < 1
    assert gains[:4, :4, :4].min() > 0.99 > 0.6 > np.median(gains[-8:, -8:, -8:])
    torch.testing.assert_close(weighted(y, gains), wiener(y, noise_model(y, 6.0)))


def test_more_noise_than_there_is_signal_leaves_numbers():
    y = torch.rand(20, 20, 20, generator=torch.Generator().manual_seed(0))
    model = noise_model(y, 5.0)
    assert model.foreground == 0
    assert wiener(y, model).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weighting_of_modes_is_self_adjoint(dtype):
    torch.manual_seed(0)
    a, b = (torch.randn(7, 8, 9, dtype=dtype) for _ in range(2))
    weights = np.random.default_rng(0).random((7, 8, 9))
    tolerance = 1e-5 if dtype is torch.float32 else 1e-12
    left, right = float((weighted(a, weights) * b).sum()), float((a * weighted(b, weights)).sum())
    assert left == pytest.approx(right, rel=tolerance)
    assert weighted(a, np.ones((7, 8, 9))).numpy() == pytest.approx(a.numpy(), abs=10 * tolerance)


def test_noise_model_counts_the_air():
    truth, y = _scan(5.0)
    model = noise_model(y, 5.0)
    assert model.foreground == pytest.approx(float((truth > 10).double().mean()), abs=0.05)
    assert 0.43 * 25 * 0.9 < model.power < 25


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 2.0])
def test_the_nearest_image_within_a_radius(operator, share):
    torch.manual_seed(0)
    x, y = torch.rand(operator.in_shape, dtype=torch.float64), torch.rand(operator.out_shape, dtype=torch.float64)
    projection = Projection(operator, ridge=1e-12)
    before = float((operator(x) - y).norm())
    found = projection.within(x, y, share * before)
    after = float((operator(found) - y).norm())
    if share >= 1:
        assert found is x
        return
    assert after == pytest.approx(share * before, rel=1e-4, abs=1e-6 * before)
    # no other image that explains y as well lies nearer: the step lies along Aᵀ (A z - y)
    if share > 0:
        step, normal = (found - x).flatten(), operator.adjoint(y - operator(found)).flatten()
        assert torch.dot(step, normal) / (step.norm() * normal.norm()) == pytest.approx(1, abs=1e-4)
