"""Frames of spirals: how many fill k-space, what each sample stands for, the phase that breathing leaves."""

import numpy as np
import pytest
import torch

from medsr.acquisition.phase import frame_phases, without_phase
from medsr.acquisition.sensitivities import espirit
from medsr.acquisition.spiral import composite, density_of, readouts_to_fill
from medsr.acquisition.trajectory import cyclic_angles, golden_angles, rotated, variable_density_spiral
from medsr.errors import InputError
from medsr.operators.nufft import NUFFT


@pytest.mark.parametrize("density", [1.0, 3.5])
@pytest.mark.parametrize("interleaves", [1, 4, 7, 20, 32])
def test_readouts_to_fill_are_those_of_the_design(interleaves, density):
    leaf = variable_density_spiral(64, 0.22, interleaves, density, dwell=4e-6)
    assert readouts_to_fill(leaf.k) == interleaves
    # whichever way it turns, and wherever it begins
    assert readouts_to_fill(rotated(leaf.k, [2.2])[0] * [1, -1]) == interleaves


@pytest.mark.parametrize(
    "k",
    [
        np.stack([np.linspace(-16, 16, 200), np.zeros(200)], axis=-1),
        np.zeros((64, 2)),
        variable_density_spiral(32, 0.22, 6).k[::-1],
    ],
)
def test_what_is_no_spiral_outwards_is_refused(k):
    with pytest.raises(InputError, match="no spirals"):
        readouts_to_fill(k)


def test_weights_of_all_readouts_fill_the_disc():
    leaf = variable_density_spiral(32, 0.22, 6, dwell=8e-6)
    k = rotated(leaf.k, cyclic_angles(6)).reshape(1, -1, 2)
    weights = density_of(k, readouts=6, copies=6)
    assert weights.sum() == pytest.approx(np.pi * 16**2, rel=0.03)
    alone = density_of(k.reshape(6, -1, 2), readouts=1, copies=6)
    np.testing.assert_allclose(alone.ravel(), weights.ravel(), rtol=1e-6)


def test_a_composite_has_the_scale_of_the_object():
    n = 32
    r = (np.arange(n) - n // 2) / n
    blob = torch.from_numpy(np.exp(-((r[:, None] / 0.12) ** 2) - (r / 0.2) ** 2)).to(torch.complex64)
    leaf = variable_density_spiral(n, 0.22, 6, dwell=8e-6)
    k = rotated(leaf.k, golden_angles(34))
    y = NUFFT(torch.from_numpy(k.reshape(-1, 2)), (n, n)).forward(blob).reshape(34, 1, -1).numpy()
    image = composite(np.repeat(y, 2, axis=1), k, density_of(k, 1, 34), (n, n))
    assert image.shape == (2, n, n)
    assert float((image[1] - blob).norm() / blob.norm()) < 0.03


def test_the_phase_of_each_frame_is_found_and_taken_out():
    rng = np.random.default_rng(0)
    frames, coils = 40, 3
    leaf = variable_density_spiral(32, 0.22, 6, dwell=8e-6)
    k = rotated(leaf.k, golden_angles(frames))
    times = 0.03 + leaf.times
    phase = 0.5 * np.sin(np.arange(frames) / 3) + 0.05 * np.arange(frames)  # beyond π in the end
    centre = rng.standard_normal(coils) + 1j * rng.standard_normal(coils)
    still = centre[None, :, None] * np.exp(-((np.linalg.norm(k, axis=-1) / 3) ** 2))[:, None]
    still = still * (1 + 0.02 * rng.standard_normal(frames))[:, None, None]
    moved = still * np.exp(1j * phase[:, None, None] * times / times[0])
    found = frame_phases(moved.astype("c8"), k)
    np.testing.assert_allclose(found - found.mean(), phase - phase.mean(), atol=0.01)
    back = without_phase(moved.astype("c8"), found, times)
    turn = np.vdot(still, back) / np.vdot(still, still)
    np.testing.assert_allclose(back, still * turn, atol=0.01 * np.abs(still).max())
    assert frame_phases(moved.astype("c8"), k + 5) is None


def test_espirit_finds_the_maps_up_to_a_phase():
    n = 32
    r = (np.arange(n) - n // 2) / n
    x, y = np.meshgrid(r, r, indexing="ij")
    maps = np.stack([np.exp(-((x - a) ** 2 + (y - b) ** 2) + 1j * (a * x + b * y)) for a, b in
                     ((0.6, 0), (-0.6, 0), (0, 0.6), (0, -0.6))])  # fmt: skip
    maps /= np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    inside = (x / 0.35) ** 2 + (y / 0.3) ** 2 < 1
    image = np.where(inside, 1 + 0.2 * np.cos(9 * x), 0)
    found = espirit(torch.from_numpy(maps * image).to(torch.complex64)).numpy()
    again = espirit(torch.from_numpy(maps * image).to(torch.complex64)).numpy()
    assert found.tobytes() == again.tobytes()
    agree = np.abs((found.conj() * maps).sum(axis=0))
    assert agree[inside].min() > 0.99
    with pytest.raises(InputError, match="no signal"):
        espirit(torch.zeros(2, n, n, dtype=torch.complex64))
    assert bool((espirit(torch.ones(1, n, n, dtype=torch.complex64)) == 1).all())
