"""Coils: the field of a loop on its axis in closed form, smoothness, noise."""

import numpy as np
import pytest

from medsr.simulation.coils import loops, noise_covariance, sensitivities, smooth_maps


def test_on_its_axis_a_loop_has_the_known_field():
    """``B = 2π a² / (a² + d²)^{3/2}`` (in units of µ0 I / 4π), along the axis."""
    angle = np.linspace(0, 2 * np.pi, 721)
    wire = np.stack([0 * angle, 60 * np.cos(angle), 60 * np.sin(angle)], axis=-1)[None]
    for distance in (40.0, 90.0):
        s = sensitivities(wire, np.array([distance, 0, 0]))[0]
        known = 2 * np.pi * 60**2 / (60**2 + distance**2 + 10.0**2) ** 1.5
        assert s == pytest.approx(known, rel=1e-4)


@pytest.mark.parametrize("coils", [1, 8, 16, 32])
def test_loops_are_as_many_as_asked_and_around_the_head(coils):
    wires = loops(coils, np.random.default_rng(0))
    assert wires.shape == (coils, 37, 3)
    centres = wires[:, :-1].mean(axis=1)
    assert np.allclose(np.hypot(centres[:, 0], centres[:, 1]), 150, atol=25)
    assert np.allclose(wires[:, 0], wires[:, -1])


def test_each_coil_sees_its_own_side():
    wires = loops(8, np.random.default_rng(0))
    centres = wires[:, :-1].mean(axis=1)
    near = np.abs(sensitivities(wires, centres * 0.6))
    assert (near.argmax(axis=0) == np.arange(8)).all()


def test_splined_maps_are_those_of_every_point():
    wires = loops(4, np.random.default_rng(1))
    step = np.arange(50) * 2.4 - 60
    turn = np.array([[0.9, 0.1, 0.42], [-0.2, 0.97, 0.1]])
    points = step[:, None, None] * turn[0] + step[None, :, None] * turn[1]
    exact = sensitivities(wires, points)
    assert np.abs(smooth_maps(wires, points, (50, 50)) - exact).max() < 5e-3 * np.abs(exact).max()


def test_noise_is_shared_between_neighbours():
    psi = noise_covariance(loops(16, np.random.default_rng(0)), np.random.default_rng(1))
    assert np.allclose(psi, psi.conj().T) and np.linalg.eigvalsh(psi).min() > 0.2
    assert np.trace(psi).real == pytest.approx(16)
    assert np.abs(psi - np.diag(np.diag(psi))).max() > 0.05
