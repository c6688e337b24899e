"""The noise estimate against known noise."""

import numpy as np
import pytest

from medsr.acquisition.noise import estimate_noise
from tests.conftest import smooth_head


@pytest.mark.parametrize("shape", [(80, 80, 80), (120, 120, 24), (160, 160, 2), (200, 200, 1)])
def test_pure_noise(shape):
    for seed in range(2):
        data = 100 + 3 * np.random.default_rng(seed).standard_normal(shape)
        assert estimate_noise(data.astype(np.float32)).sigma == pytest.approx(3, rel=0.15)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("masked", [False, True])
def test_rician_noise_on_a_head(sigma, masked):
    truth = smooth_head((80, 84, 72))
    rng = np.random.default_rng(0)
    real, imaginary = sigma * rng.standard_normal((2, *truth.shape))
    data = np.hypot(truth + real, imaginary).astype(np.float32)
    if masked:
        data[truth == 0] = 0
    found = estimate_noise(data)
    assert found.sigma == pytest.approx(sigma, rel=0.15)
    assert found.source == ("tissue" if masked else "air") or found.sigma < sigma * 1.05


def test_no_noise_is_nearly_none():
    assert estimate_noise(smooth_head((80, 84, 72))).sigma < 0.5


def test_too_small_to_tell():
    assert estimate_noise(np.ones((3, 3, 3), np.float32)) == (0.0, "too few voxels to tell")
