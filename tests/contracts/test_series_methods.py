"""What every method for raw data keeps: the place of things, its promise, the same result for the same data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import medsr
from medsr.models.card import cards
from tests.conftest import GRIDS
from tests.contracts.progress import rises_to_its_end_and_can_stop
from tests.simulation.runs import sampled, small_run

METHODS = [c.name for c in cards().values() if c.kind == "kspace"]
N = 24


def lattice(name: str, slices: int = 2) -> medsr.Grid:
    """A grid of the tests' oblique and flipped ones, with N x N voxels in plane."""
    return medsr.Grid((N, N, slices), GRIDS[name].affine)


# the grid is out of the methods' hands: all grids for one of them, the oblique one for all
PLACES = [(METHODS[0], name) for name in GRIDS] + [(m, "oblique thick") for m in METHODS[1:]]


@pytest.mark.parametrize(("method", "name"), PLACES)
def test_a_blob_stays_where_it_is(method: str, name: str) -> None:
    """To a twentieth of a voxel in plane, in the slice that it is in; the grid is the raw data's."""
    grid = lattice(name)
    centre = np.array([13.3, 9.8])
    x, y = np.meshgrid(np.arange(N), np.arange(N), indexing="ij")
    blob = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 1.6**2))
    image = np.stack([0.02 * blob, blob], axis=-1).astype(np.complex64)
    result = medsr.reconstruct(sampled(image, grid, interleaves=2), method=method)
    assert result.volume.grid.is_close(grid)
    assert result.residual.grid.is_close(grid)
    assert result.volume.data.shape == (6, N, N, 2)
    assert (result.volume.facts.tr, result.volume.facts.te, result.volume.facts.slice_thickness) == (
        2.0,
        0.03,
        3.0,
    )
    shown = np.square(result.volume.data.mean(axis=0)[..., 1].astype(np.float64))
    shown[np.hypot(x - centre[0], y - centre[1]) > 5] = 0
    found = np.array([(shown * i).sum() for i in (x, y)]) / shown.sum()
    assert np.abs(grid.to_world([*found, 1]) - grid.to_world([*centre, 1])).max() < 0.05 * max(grid.spacing)


@pytest.mark.parametrize("method", METHODS)
def test_the_promise_of_the_card_under_its_model(method: str) -> None:
    promise = cards()[method].promise
    x, y = np.meshgrid(np.arange(N) - N // 2, np.arange(N) - N // 2, indexing="ij")
    inside = (x / 8) ** 2 + (y / 10) ** 2 < 1
    image = (inside * (1 + 0.2 * np.cos(x / 2) * np.sin(y / 3)))[..., None].astype(np.complex64)
    exact = medsr.reconstruct(sampled(image, lattice("plain", 1)), method=method)
    noisy = medsr.reconstruct(sampled(image, lattice("plain", 1), noise=0.05), method=method)
    assert "residual_over_noise" not in exact.figures
    assert exact.kept_its_promises, exact.flags
    assert noisy.kept_its_promises, noisy.flags
    if promise.exact is not None:
        assert exact.figures["residual_over_data"] <= promise.exact
    if promise.noisy is not None:
        assert 0.2 < noisy.figures["residual_over_noise"] <= promise.noisy


@pytest.mark.parametrize("method", METHODS)
def test_the_same_data_the_same_bytes(method: str) -> None:
    scan = small_run().kspace.select(frames=slice(0, 6))
    first, *others = (medsr.reconstruct(scan, method=method, threads=threads) for threads in (1, 1, 2))
    for other in others:
        assert other.volume.data.tobytes() == first.volume.data.tobytes()
        assert other.residual.data.tobytes() == first.residual.data.tobytes()
        assert other.figures == first.figures


@pytest.mark.parametrize("method", METHODS)
def test_the_scale_of_the_values_does_not_matter(method: str) -> None:
    scan = small_run().kspace.select(frames=slice(0, 6))
    assert scan.noise is not None
    # a power of two changes no digit
    large = dataclasses.replace(
        scan, data=scan.data * np.float32(1024), noise=scan.noise * 2**20, calibration=None
    )
    small = dataclasses.replace(scan, calibration=None)
    a, b = (medsr.reconstruct(s, method=method).volume.data for s in (large, small))
    np.testing.assert_allclose(a / 1024, b, atol=1e-4 * b.max())


@pytest.mark.parametrize("method", METHODS)
def test_slices_are_apart(method: str) -> None:
    run = small_run(slices=2, frames=6).kspace
    both = medsr.reconstruct(run, method=method)
    second = medsr.reconstruct(run, method=method, slices=slice(1, 2))
    np.testing.assert_array_equal(both.volume.data[..., 1:], second.volume.data)
    np.testing.assert_allclose(second.volume.grid.to_world([3, 4, 0]), both.volume.grid.to_world([3, 4, 1]))


@pytest.mark.parametrize("method", METHODS)
def test_progress_rises_to_its_end_and_can_stop(method: str) -> None:
    scan = small_run().kspace.select(frames=slice(0, 6))
    rises_to_its_end_and_can_stop(lambda progress: medsr.reconstruct(scan, method=method, progress=progress))


def test_each_frame_is_seen_alone_and_together() -> None:
    """One frame, a single coil, and a run too short to fill k-space are reconstructed, and said to be."""
    scan = dataclasses.replace(small_run().kspace, calibration=None)
    one = medsr.reconstruct(scan, method="cg-sense", frames=slice(3, 4))
    assert one.volume.data.shape == one.volume.grid.shape
    assert any("too short" in f.text for f in one.flags)
    alone = dataclasses.replace(scan, data=scan.data[:, :, :1], noise=None)
    assert np.isfinite(medsr.reconstruct(alone, method="sliding-window").volume.data).all()
