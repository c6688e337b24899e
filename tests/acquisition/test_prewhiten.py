import pytest
import torch

from medsr.acquisition.compress import compression_matrix
from medsr.acquisition.prewhiten import mix_coils, noise_covariance, whitening_matrix
from medsr.errors import InputError, UsageError

COILS = 6


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def correlated(samples=40000):
    mixing = randn(COILS, COILS) * torch.logspace(-3, 3, COILS)[:, None]
    return mixing, mixing @ randn(COILS, samples, seed=1)


def test_whitened_noise_is_white_and_of_unit_power():
    mixing, noise = correlated()
    whitening = whitening_matrix(noise_covariance(noise))
    fresh = mixing @ randn(COILS, 40000, seed=2)
    after = mix_coils(whitening, fresh)
    assert (noise_covariance(after) - torch.eye(COILS)).abs().max() < 0.04


def test_covariance_is_the_known_one_and_scales_with_bandwidth():
    mixing, noise = correlated(400000)
    known = mixing @ mixing.mH
    scale = known.diagonal().real.sqrt()
    relative = (noise_covariance(noise) - known).abs() / (scale[:, None] * scale)
    assert relative.max() < 0.01
    assert torch.allclose(noise_covariance(noise, dwell_ratio=0.5), noise_covariance(noise) / 2)
    pooled = noise.reshape(COILS, 4, -1).movedim(1, 0)
    assert torch.allclose(noise_covariance(pooled), noise_covariance(noise))


def test_bad_noise():
    with pytest.raises(InputError, match="too little"):
        noise_covariance(randn(8, 10))
    with pytest.raises(InputError):
        noise_covariance(randn(2, 100) * float("nan"))
    _, noise = correlated()
    noise[3] = 0
    with pytest.raises(InputError, match=r"channel \[3\]"):
        whitening_matrix(noise_covariance(noise))
    noise[3] = noise[2]
    with pytest.raises(InputError, match="dependent"):
        whitening_matrix(noise_covariance(noise))


def test_mixing_any_axis_keeps_the_dtype():
    data = randn(3, COILS, 5).to(torch.complex64)
    matrix = randn(2, COILS, seed=3)
    mixed = mix_coils(matrix, data, 1)
    assert mixed.dtype == torch.complex64 and mixed.shape == (3, 2, 5)
    assert torch.allclose(mixed[1], matrix.to(torch.complex64) @ data[1], atol=1e-5)
    with pytest.raises(InputError):
        mix_coils(matrix, data, 0)


def test_compression_keeps_the_strongest_mixtures():
    basis = torch.linalg.qr(randn(COILS, COILS)).Q
    strength = torch.tensor([10.0, 5.0, 2.0, 0.05, 0.02, 0.01], dtype=torch.float64)
    data = basis @ (strength[:, None] * randn(COILS, 5000, seed=4))
    matrix = compression_matrix(data, tail=1e-3)
    assert matrix.shape == (3, COILS)
    assert torch.allclose(matrix @ matrix.mH, torch.eye(3, dtype=torch.complex128), atol=1e-12)
    kept = mix_coils(matrix, data)
    assert kept.norm() ** 2 > 0.999 * data.norm() ** 2
    assert kept[0].norm() > kept[1].norm() > kept[2].norm()
    assert compression_matrix(data, coils=2).shape == (2, COILS)
    assert compression_matrix(data, tail=0.0).shape == (COILS, COILS)


def test_compression_refusals():
    data = randn(COILS, 50)
    for options in ({}, {"coils": 2, "tail": 0.1}, {"coils": 0}, {"coils": 7}, {"tail": 1.0}):
        with pytest.raises(UsageError):
            compression_matrix(data, **options)
    with pytest.raises(InputError):
        compression_matrix(0 * data, coils=1)
