"""The encoder against sums written out and a transform known in closed form."""

import numpy as np
import pytest

from medsr.acquisition.trajectory import variable_density_spiral
from medsr.simulation.encoding import Encoder, low_pass

N, SIZE = 32, 64
SPIRAL = variable_density_spiral(N, 0.2, 8, 2.0, dwell=8e-6)


def grid(size=SIZE):
    step = (np.arange(size) - size // 2) / size
    return np.stack(np.meshgrid(step, step, indexing="ij"), axis=-1)


def test_it_is_the_sum_written_out():
    rng = np.random.default_rng(0)
    r = grid()
    maps = (np.exp(-3 * (r[..., 0] - 0.4) ** 2) * np.exp(1j * r[..., 1]), 1 + 0.5j * r[..., 0])
    maps = np.stack(maps).astype(np.complex64)
    field = 60 * np.cos(4 * r[..., 0]) * np.sin(3 * r[..., 1])
    decay = 1 / rng.uniform(0.02, 0.1, (SIZE, SIZE))
    x = (rng.standard_normal((SIZE, SIZE)) + 1j * rng.standard_normal((SIZE, SIZE))).astype(np.complex64)
    encoder = Encoder(maps, field, decay, SPIRAL.times, N)
    y = encoder(x, SPIRAL.k)
    exact = np.empty_like(y)
    for j, (k, t) in enumerate(zip(SPIRAL.k, SPIRAL.times, strict=True)):
        weight = np.exp(-(2j * np.pi * field + decay) * t - 2j * np.pi * (r @ k))
        exact[:, j] = (maps * x * weight).sum(axis=(1, 2)) * N / SIZE**2
    assert np.linalg.norm(y - exact) < 5e-4 * np.linalg.norm(exact)
    assert 2 <= encoder.segments <= 6


@pytest.mark.parametrize("size", [64, 80, 96])
def test_a_gaussian_has_its_known_transform(size):
    """``exp(-r²/2σ²)`` at r0 becomes ``n 2πσ² exp(-2π²σ²k² - 2πi k·r0)``: the scale does not hang on the grid."""
    r = grid(size)
    sigma, at = 0.05, np.array([0.1, -0.15])
    x = np.exp(-((r - at) ** 2).sum(-1) / (2 * sigma**2)).astype(np.complex64)
    flat = np.zeros((size, size))
    encoder = Encoder(np.ones((1, size, size), np.complex64), flat, flat, SPIRAL.times, N)
    y = encoder(x, SPIRAL.k)[0]
    k = SPIRAL.k
    known = N * 2 * np.pi * sigma**2 * np.exp(-2 * (np.pi * sigma) ** 2 * (k**2).sum(-1) - 2j * np.pi * k @ at)
    assert np.abs(y - known).max() < 3e-4 * np.abs(known).max()
    assert encoder.segments == 1


def test_off_resonance_turns_and_decay_shrinks():
    r = grid()
    x = np.exp(-(r**2).sum(-1) / (2 * 0.05**2)).astype(np.complex64)
    one = np.ones((1, SIZE, SIZE), np.complex64)
    flat = np.zeros((SIZE, SIZE))
    plain = Encoder(one, flat, flat, SPIRAL.times, N)(x, SPIRAL.k)
    other = Encoder(one, flat + 50, flat + 30, SPIRAL.times, N)(x, SPIRAL.k)
    expected = plain * np.exp(-(2j * np.pi * 50 + 30) * SPIRAL.times)
    assert np.abs(other - expected).max() < 1e-3 * np.abs(plain).max()


def test_low_pass_keeps_what_fits_and_drops_the_rest():
    r = grid()
    inside = np.exp(2j * np.pi * (5 * r[..., 0] - 7 * r[..., 1])).astype(np.complex64)
    outside = np.exp(2j * np.pi * (12 * r[..., 0] + 13 * r[..., 1])).astype(np.complex64)
    low = low_pass(inside + outside, N)
    coarse = grid(N)
    assert np.allclose(low, np.exp(2j * np.pi * (5 * coarse[..., 0] - 7 * coarse[..., 1])), atol=1e-5)
    stack = low_pass(np.stack([inside, outside]), N)
    assert np.abs(stack[1]).max() < 1e-5 and np.allclose(stack[0], low, atol=1e-5)


def test_low_pass_is_where_the_encoder_s_samples_point():
    """The image that orthonormal samples encode is the low-passed object: same place, same scale."""
    r = grid()
    x = np.exp(-((r - [0.12, -0.08]) ** 2).sum(-1) / (2 * 0.06**2)).astype(np.complex64)
    one, flat = np.ones((1, SIZE, SIZE), np.complex64), np.zeros((SIZE, SIZE))
    y = Encoder(one, flat, flat, SPIRAL.times, N)(x, SPIRAL.k)[0]
    image = low_pass(x, N)
    again = np.array([(image * np.exp(-2j * np.pi * (grid(N) @ k))).sum() / N for k in SPIRAL.k])
    assert np.abs(again - y).max() < 1e-3 * np.abs(y).max()
