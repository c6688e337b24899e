"""What every method with a card keeps: the place of things, its promise, the same result for the same scan."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import medsr
from medsr.models.card import cards
from medsr.result import Result
from medsr.volume import Grid, ScanFacts, Volume
from tests.conftest import GRIDS, smooth_head
from tests.contracts.progress import rises_to_its_end_and_can_stop

METHODS = [c.name for c in cards().values() if c.kind == "image"]
GAP = "gapped"
"""Slices of 2 mm, 3.6 mm apart."""

ALL = {**GRIDS, GAP: GRIDS["oblique thick"]}


def scan(data: NDArray[np.float32], name: str) -> Volume:
    facts = ScanFacts(slice_thickness=2.0, acquisition_type="2D", slice_axis=2) if name == GAP else ScanFacts()
    return Volume(data, ALL[name], facts)


def noisy(name: str, sigma: float, seed: int = 5) -> Volume:
    shape = tuple(ALL[name].shape)
    data = smooth_head(shape) + sigma * np.random.default_rng(seed).standard_normal(shape)
    return scan(np.abs(data).astype("f4"), name)


def centroid(data: NDArray[np.float32], grid: Grid) -> NDArray[np.float64]:
    """World coordinates of the centre of the square of the image, which has no tails to speak of."""
    weight = np.square(data.astype(np.float64))
    index = [np.sum(weight * i) / weight.sum() for i in np.indices(grid.shape)]
    return grid.to_world(np.array(index))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("method", METHODS)
def test_a_blob_stays_where_it_is(method: str, name: str) -> None:
    """To a tenth of the finer spacing; half a voxel of the scan, the usual mistake, is ten times that."""
    grid = ALL[name]
    middle = (np.array(grid.shape) - 1) / 2 + (0.31, -0.22, 0.17)
    distance = [np.square(i - c) for i, c in zip(np.indices(grid.shape), middle, strict=True)]
    blob = (100 * np.exp(-0.5 * sum(distance) / 0.95**2)).astype("f4")
    result = medsr.reconstruct(scan(blob, name), method=method, noise=0.0)
    off = centroid(result.volume.data, result.volume.grid) - grid.to_world(middle)
    assert np.abs(off).max() < 0.1 * min(result.volume.grid.spacing), off
    # the lattice: the scan's axes and field of view
    fine = result.volume.grid
    np.testing.assert_allclose(fine.direction, grid.direction, atol=1e-9)
    np.testing.assert_allclose(fine.centre, grid.centre, atol=1e-6)
    np.testing.assert_allclose(fine.field_of_view, grid.field_of_view, atol=1e-6)
    assert result.residual.grid.is_close(grid)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("method", METHODS)
def test_the_promise_of_the_card(method: str, name: str) -> None:
    promise = cards()[method].promise
    exact = medsr.reconstruct(scan(smooth_head(tuple(ALL[name].shape)), name), method=method, noise=0.0)
    told = medsr.reconstruct(noisy(name, 3.0), method=method, noise=3.0)
    for result in (exact, told):
        check_residual(result)
    if promise.exact is not None:
        assert exact.figures["residual_over_data"] <= promise.exact
    if promise.noisy is not None:
        assert told.figures["residual_over_noise"] <= promise.noisy
    assert exact.kept_its_promises
    assert told.kept_its_promises


def check_residual(result: Result) -> None:
    """The residual that is told of is the one that is there: y - A x, by the matrices of the acquisition."""
    y, r = result.measured.data.astype(np.float64), result.residual.data.astype(np.float64)
    told = result.figures["residual_over_data"]
    assert told == pytest.approx(np.linalg.norm(r) / np.linalg.norm(y), rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_scan_the_same_bytes(method: str) -> None:
    first, *others = (
        medsr.reconstruct(noisy("oblique thick", 3.0), method=method, threads=threads) for threads in (1, 1, 2)
    )
    for other in others:
        assert other.volume.data.tobytes() == first.volume.data.tobytes()
        assert other.residual.data.tobytes() == first.residual.data.tobytes()
        if first.uncertainty is not None and other.uncertainty is not None:
            assert other.uncertainty.data.tobytes() == first.uncertainty.data.tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_frames_are_apart(method: str) -> None:
    """A series is its frames, one by one."""
    frames = [noisy("thick", 3.0, seed).data for seed in (1, 2)]
    series = medsr.reconstruct(scan(np.stack(frames), "thick"), method=method, noise=3.0)
    for t, frame in enumerate(frames):
        alone = medsr.reconstruct(scan(frame, "thick"), method=method, noise=3.0)
        np.testing.assert_array_equal(series.volume.data[t], alone.volume.data)


@pytest.mark.parametrize("method", METHODS)
def test_the_scale_of_the_values_does_not_matter(method: str) -> None:
    plain = noisy("thick", 3.0)
    large = medsr.reconstruct(plain.with_data(plain.data * 1000), method=method, noise=3000.0)
    small = medsr.reconstruct(plain, method=method, noise=3.0)
    np.testing.assert_allclose(large.volume.data / 1000, small.volume.data, atol=2e-4 * small.volume.data.max())


@pytest.mark.parametrize("method", METHODS)
def test_progress_rises_to_its_end_and_can_stop(method: str) -> None:
    rises_to_its_end_and_can_stop(
        lambda progress: medsr.reconstruct(noisy("plain", 3.0), method=method, progress=progress)
    )
