"""Raw data made ready: whitening, coils, delays, field maps."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
import torch

from medsr.acquisition import groups
from medsr.acquisition.preparation import Preparation, Prepared, resampled, with_delay
from medsr.acquisition.trajectory import golden_angles, rotated, variable_density_spiral
from medsr.errors import InputError, UsageError
from medsr.measurement import KSpace
from medsr.volume import Grid, Volume
from tests.conftest import GRIDS
from tests.simulation.runs import sampled, small_run

N = 24


def test_a_slice_is_ready():
    run = small_run()
    prepared = Prepared(run.kspace)
    a = prepared.slice(0)
    assert (a.frames, a.shape, a.copies, a.readouts, a.frames_to_fill) == (24, (N, N), 4, 1, 4)
    assert a.noise == pytest.approx(run.noise_level, rel=0.03)
    assert a.kspace.dtype == a.maps.dtype == torch.complex64
    assert a.undersampling == pytest.approx(N * N / a.samples)
    for words in ("acceleration 4", "pre-whitened", "phase of each frame", "ESPIRiT of the calibration scan"):
        assert any(words in note for note in prepared.notes), words


def long_noise(frames: int) -> KSpace:
    leaf = variable_density_spiral(N, 0.22, 4)
    rng = np.random.default_rng(0)
    data = rng.standard_normal((2, 1, frames, 6, len(leaf.times)))
    k = rotated(leaf.k, golden_angles(frames)).astype(np.float32)
    noise = (2 * np.eye(6) + 0.2).astype(complex)
    grid = Grid((N, N, 1), np.diag([9.0, 9, 3, 1]))
    return KSpace((data[0] + 1j * data[1]).astype(np.complex64), k, leaf.times, grid, te=0.03, noise=noise)


@pytest.mark.parametrize("coils", [None, 3])
def test_preparation_makes_one_copy_of_a_slice(monkeypatch, coils):
    """What arrays take at the peak beyond what they take for fewer frames: working copy, trajectory, weights."""
    monkeypatch.setattr(groups, "AT_ONCE", 6 * 4096)
    peaks = []
    for frames in (64, 192):
        scan = long_noise(frames)
        prepared = Prepared(scan, Preparation(coils=coils))
        tracemalloc.start()
        a = prepared.slice(0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    more = (192 - 64) / 192
    kept = more * (a.kspace.nbytes + a.trajectories.nbytes + a.weights.nbytes)
    assert peaks[1] - peaks[0] < kept + 0.25 * more * scan.data.nbytes


@pytest.mark.parametrize("delay", [None, 2e-6])
def test_preparation_leaves_the_scan_as_it_is_and_groups_change_nothing(monkeypatch, delay):
    scan = dataclasses.replace(small_run().kspace, calibration=None)
    before, path = scan.data.copy(), scan.trajectory.copy()
    whole = Prepared(scan, Preparation(delay=delay)).slice(0)
    monkeypatch.setattr(groups, "AT_ONCE", 1)
    apart = Prepared(scan, Preparation(delay=delay)).slice(0)
    assert np.array_equal(scan.data, before)
    assert np.array_equal(scan.trajectory, path)
    assert torch.equal(apart.trajectories, whole.trajectories)
    assert torch.equal(apart.weights, whole.weights)
    for one, other in ((apart.maps, whole.maps), (apart.kspace, whole.kspace)):
        assert float((one - other).norm() / other.norm()) < 1e-3


def test_without_a_calibration_the_coils_come_from_the_mean():
    prepared = Prepared(dataclasses.replace(small_run().kspace, calibration=None))
    prepared.slice(0)
    assert any("ESPIRiT of the mean over time" in note for note in prepared.notes)


def test_noise_after_preparation_is_white():
    """A run of noise and a faint object: what is left of its differences in time has covariance 2 σ² I."""
    run = small_run(snr=3.0)
    a = Prepared(run.kspace, Preparation(coils=3)).slice(0)
    outer = a.kspace[:, :, -a.samples // 4 :]  # the edge of k-space holds next to no signal
    n = outer.movedim(1, 0).flatten(1).to(torch.complex128)
    covariance = (n @ n.mH / n.shape[1]).numpy()
    np.testing.assert_allclose(np.diag(covariance).real, a.noise**2, rtol=0.15)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.15 * a.noise**2


def test_maps_have_unit_sum_of_squares_in_the_channels_as_received():
    """So that a noise correlation does not shade the image: the mean over time has the truth's shading."""
    run = small_run(snr=400.0)
    a = Prepared(run.kspace).slice(0)
    mean = (a.gridded(a.kspace).sum(0).abs() * a.frames_to_fill / a.frames).numpy()
    truth = run.truth.data.mean(axis=0)[..., 0]
    inside = truth > 0.4 * np.percentile(truth, 99)
    ratio = mean[inside] / truth[inside]
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
    assert ratio.std() < 0.1


def test_a_short_run_takes_its_coils_from_the_calibration():
    scan = small_run().kspace.select(frames=slice(0, 3))
    prepared = Prepared(scan)
    prepared.slice(0)
    assert any("calibration scan" in note for note in prepared.notes)
    alone = Prepared(dataclasses.replace(scan, calibration=None))
    alone.slice(0)
    assert any(note.startswith("warning: the run is too short") for note in alone.notes)


def test_a_delay_is_taken_back():
    late = small_run(delay=(3e-6, 1e-6), snr=400.0)
    right = Prepared(late.kspace, Preparation(delay=(3e-6, 1e-6))).slice(0)
    wrong = Prepared(late.kspace).slice(0)
    moved = with_delay(late.kspace, (3e-6, 1e-6))
    assert np.abs(moved.trajectory - late.kspace.trajectory).max() > 0.05
    assert moved.calibration is not None
    truth = late.truth.data.mean(axis=0)[..., 0]
    errors = []
    for a in (right, wrong):
        image = (a.gridded(a.kspace).sum(0).abs() * a.frames_to_fill / a.frames).numpy()
        errors.append(np.linalg.norm(image - truth) / np.linalg.norm(truth))
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize("name", GRIDS)
def test_a_field_map_is_read_where_the_scan_lies(name):
    """A field linear in world coordinates, on another grid than the scan's: exact by trilinear reading."""
    grid = Grid((N, N, 3), GRIDS[name].affine)
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = 5.0 * turn
    affine[:3, 3] = grid.centre - affine[:3, :3] @ np.full(3, 19.5)
    there = Grid((40, 40, 40), affine)

    def field(world):
        return 10 + world @ np.array([0.5, -0.25, 1.0])

    def indices(g):
        return np.stack(np.meshgrid(*(np.arange(n) for n in g.shape), indexing="ij"), axis=-1)

    volume = Volume(field(there.to_world(indices(there))).astype("f4"), there)
    found, expected = resampled(volume, grid), field(grid.to_world(indices(grid)))
    reach = np.linalg.norm(grid.to_world(indices(grid)) - grid.centre, axis=-1) < 90
    np.testing.assert_allclose(found[reach], expected[reach], atol=1e-2)


def test_a_field_map_that_cannot_be_used_is_refused():
    scan = small_run().kspace
    far = np.diag([5.0, 5, 5, 1])
    far[:3, 3] = 800
    with pytest.raises(InputError, match="lies elsewhere"):
        resampled(Volume(np.zeros((8, 8, 8), "f4"), Grid((8, 8, 8), far)), scan.grid)
    with pytest.raises(InputError, match="one volume"):
        resampled(Volume(np.zeros((2, 8, 8, 8), "f4"), Grid((8, 8, 8), far)), scan.grid)


def test_a_field_map_becomes_time_segments():
    run = small_run(off_resonance=5.0)
    prepared = Prepared(run.kspace, Preparation(field=run.field))
    a = prepared.slice(0)
    assert a.segments is not None
    assert a.segments.shape == (N, N)
    assert a.segments.error < 2e-3
    assert float(a.segments.times.min()) == pytest.approx(0, abs=1e-9)  # the image is meant at the echo
    assert any("time segments" in note for note in prepared.notes)


@pytest.mark.parametrize("coils", [0, 6])
def test_impossible_virtual_coils_are_refused(coils):
    with pytest.raises(UsageError, match="virtual coils"):
        Prepared(small_run().kspace, Preparation(coils=coils))


def test_without_a_noise_scan_the_level_is_unknown():
    grid = Grid((N, N, 1), np.diag([9.0, 9, 3, 1]))
    x = np.zeros((N, N, 1), "c8")
    x[8:16, 8:16] = 1
    prepared = Prepared(sampled(x, grid))
    assert prepared.noise == 0
    assert any("level as unknown" in note for note in prepared.notes)
