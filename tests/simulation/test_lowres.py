"""Simulated scans: where their samples lie, how wide they are, what noise they carry."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from medsr.acquisition.slices import plan_acquisition
from medsr.errors import UsageError
from medsr.operators.resolution import Resolution
from medsr.simulation.lowres import crop_to, plan_lowres, simulate_lowres
from medsr.volume import Grid, ScanFacts, Volume

ANGLE = math.radians(25)
TURN = np.array([[math.cos(ANGLE), -math.sin(ANGLE), 0], [math.sin(ANGLE), math.cos(ANGLE), 0], [0, 0, 1.0]])


def _volume(shape: tuple[int, int, int], diagonal: tuple[float, float, float], turn: bool = True) -> Volume:
    """Noise-like voxels on an oblique, flipped or straight grid."""
    affine = np.eye(4)
    affine[:3, :3] = (TURN if turn else np.eye(3)) @ np.diag(diagonal)
    affine[:3, 3] = (-80.0, 35.5, 12.0)
    data = np.random.default_rng(0).random(shape, dtype=np.float32) * 100
    return Volume(data, Grid(shape, affine), ScanFacts(tr=2.0, te=0.03))


GEOMETRIES = [
    ((24, 20, 32), (1.0, 1.0, 1.0), False, (1.0, 1.0, 4.0)),
    ((24, 20, 32), (-0.9, 1.1, 1.2), True, (0.9, 1.1, 4.8)),
    ((24, 20, 32), (1.0, -1.0, -1.0), True, (2.0, 2.0, 2.0)),
    ((36, 21, 20), (1.0, 0.8, -0.8), True, (3.0, 0.8, 0.8)),
    ((24, 20, 30), (1.0, 1.0, 1.0), True, (1.0, 1.0, 2.5)),
]


@pytest.mark.parametrize(("shape", "diagonal", "turn", "spacing"), GEOMETRIES)
def test_samples_lie_where_the_grid_says(
    shape: tuple[int, int, int],
    diagonal: tuple[float, float, float],
    turn: bool,
    spacing: tuple[float, float, float],
) -> None:
    """A ramp in world coordinates is the same ramp in the scan: every voxel is where it says it is."""
    volume = _volume(shape, diagonal, turn)
    indices = np.moveaxis(np.indices(shape), 0, -1)
    gradient = np.array([0.3, -0.7, 1.1])
    ramp = volume.grid.to_world(indices) @ gradient
    scan = simulate_lowres(volume.with_data(ramp.astype(np.float32)), spacing=spacing, psf="gaussian")
    assert scan.grid.spacing == pytest.approx(spacing)
    np.testing.assert_allclose(scan.grid.direction, volume.grid.direction, atol=1e-12)
    expected = scan.grid.to_world(np.moveaxis(np.indices(scan.grid.shape), 0, -1)) @ gradient
    middle = tuple(slice(n // 3, n - n // 3) for n in scan.grid.shape)
    np.testing.assert_allclose(scan.data[middle], expected[middle], atol=1e-3)


@pytest.mark.parametrize(("shape", "diagonal", "turn", "spacing"), GEOMETRIES)
def test_whole_ratios_share_the_field_of_view(
    shape: tuple[int, int, int],
    diagonal: tuple[float, float, float],
    turn: bool,
    spacing: tuple[float, float, float],
) -> None:
    volume = _volume(shape, diagonal, turn)
    scan = simulate_lowres(volume, spacing=spacing)
    assert scan.notes == ()
    np.testing.assert_allclose(scan.grid.field_of_view, volume.grid.field_of_view)
    np.testing.assert_allclose(scan.grid.centre, volume.grid.centre)
    assert plan_acquisition(scan, spacing=volume.grid.spacing, noise=0).target.is_close(volume.grid)


@pytest.mark.parametrize("spacing", [(1, 1, 4), (2.3, 1, 1), (2, 2, 2), (1, 3.7, 1), (1.5, 1.5, 5)])
def test_what_does_not_divide_is_cut_and_said(spacing: tuple[float, float, float]) -> None:
    """A reconstruction makes voxels of the volume, and no others."""
    volume = _volume((31, 33, 37), (-1.0, 1.0, 1.0))
    scan = simulate_lowres(volume, spacing=spacing)
    target = plan_acquisition(scan, spacing=(1, 1, 1), noise=0).target
    acquisition, _ = plan_lowres(volume, spacing=spacing)
    assert target.is_close(acquisition.fine)
    truth = crop_to(volume, target)
    start = np.rint(np.linalg.solve(volume.grid.affine, target.affine[:, 3])[:3]).astype(int)
    assert tuple(start) == tuple((n - m) // 2 for n, m in zip(volume.grid.shape, target.shape, strict=True))
    x, y, z = (slice(a, a + n) for a, n in zip(start, target.shape, strict=True))
    np.testing.assert_array_equal(truth.data, volume.data[x, y, z])
    assert len(scan.notes) == 1 and "left out" in scan.notes[0]
    assert all(n - m < d for n, m, d in zip(volume.grid.shape, target.shape, spacing, strict=True))


@pytest.mark.parametrize("spacing", [(1, 1, 4), (2, 2, 2), (2, 2, 5)])
def test_the_scan_is_what_a_reconstruction_assumes(spacing: tuple[float, float, float]) -> None:
    """Reading the facts alone, `plan_acquisition` finds the operator that made the scan."""
    volume = _volume((24, 20, 30), (1.0, 1.0, -1.0))
    scan = simulate_lowres(volume, spacing=spacing)
    assumed = plan_acquisition(scan, spacing=(1, 1, 1), noise=0)
    truth = crop_to(volume, assumed.target).data
    np.testing.assert_allclose(assumed.operator(torch.from_numpy(truth)).numpy(), scan.data, atol=1e-4)


def test_facts_are_those_of_the_scan() -> None:
    volume = _volume((24, 20, 32), (1, 1, 1))
    facts = simulate_lowres(volume, spacing=(1, 1, 4), slice_thickness=3).facts
    assert facts == ScanFacts(3.0, "2D", 2, tr=2.0, te=0.03)
    assert simulate_lowres(volume, spacing=(1, 1, 4)).facts.slice_thickness == 4
    assert simulate_lowres(volume, spacing=(2, 2, 2)).facts == ScanFacts(None, "3D", None, tr=2.0, te=0.03)
    stacked = simulate_lowres(volume, spacing=(2, 2, 2), slice_axis=0, slice_thickness=1.5).facts
    assert (stacked.acquisition_type, stacked.slice_axis, stacked.slice_thickness) == ("2D", 0, 1.5)
    in_plane = simulate_lowres(_volume((24, 20, 8), (0.5, 0.5, 3)), spacing=(1, 1, 3)).facts
    assert (in_plane.acquisition_type, in_plane.slice_axis, in_plane.slice_thickness) == ("2D", 2, None)


@pytest.mark.parametrize("spacing", [(1, 1, 4), (2, 2, 2), (1.7, 1, 3.3)])
@pytest.mark.parametrize("psf", [None, "gaussian", "boxcar", "rf", "kspace"])
def test_a_constant_stays(spacing: tuple[float, float, float], psf: str | None) -> None:
    volume = _volume((24, 20, 32), (1, 1, 1))
    scan = simulate_lowres(volume.with_data(np.full((24, 20, 32), 7, dtype=np.float32)), spacing=spacing, psf=psf)
    np.testing.assert_allclose(scan.data, 7, rtol=1e-5)


def _profile(thickness: float, spacing: float, psf: str) -> tuple[np.ndarray, np.ndarray]:
    """The slice profile, felt out with a thin plate that moves through a slice: response against distance, mm."""
    h, n = 0.5, 96
    plates = np.zeros((n, 2, 2, n), dtype=np.float32)  # a frame for each place
    plates[np.arange(n), :, :, np.arange(n)] = 1
    grid = Grid((2, 2, n), np.diag([spacing / 2, spacing / 2, h, 1.0]))
    scan = simulate_lowres(
        Volume(plates, grid),
        spacing=(spacing / 2, spacing / 2, spacing),
        slice_axis=2,
        slice_thickness=thickness,
        psf=psf,
    )
    middle = scan.grid.shape[2] // 2
    return np.arange(n) * h - scan.grid.to_world((0, 0, middle))[2], scan.data[:, 0, 0, middle]


@pytest.mark.parametrize("psf", ["gaussian", "boxcar", "rf"])
@pytest.mark.parametrize(("thickness", "spacing"), [(4.0, 4.0), (3.0, 4.0), (6.0, 4.0)])
def test_profiles_have_the_stated_width(thickness: float, spacing: float, psf: str) -> None:
    """Full width at half maximum, with no gap, a gap and an overlap; a plate of 0.5 mm."""
    distance, response = _profile(thickness, spacing, psf)
    assert response.sum() == pytest.approx(1, abs=0.05)
    assert (response * distance).sum() == pytest.approx(0, abs=1e-3)
    fine = np.linspace(-12, 12, 4801)
    shape = np.interp(fine, distance, response)
    width = np.ptp(fine[shape >= response.max() / 2])
    expected = math.sqrt(thickness**2 - 0.25) if psf == "gaussian" else thickness
    assert width == pytest.approx(expected, abs=0.06)


def test_slices_with_gaps_miss_what_overlapping_ones_share() -> None:
    """A plate halfway between two slices: unseen across a gap, seen by both in an overlap."""
    plate = np.zeros((2, 2, 40), dtype=np.float32)
    plate[..., 19:21] = 1
    volume = Volume(plate, Grid((2, 2, 40), np.diag([1, 1, 0.5, 1.0])))
    seen = {}
    for thickness in (2.0, 8.0):
        scan = simulate_lowres(
            volume, spacing=(1, 1, 5), slice_axis=2, slice_thickness=thickness, psf={"z": "boxcar"}
        )
        assert scan.grid.shape == (2, 2, 4)
        seen[thickness] = scan.data[0, 0]
    np.testing.assert_allclose(seen[2.0], 0, atol=1e-6)
    np.testing.assert_allclose(seen[8.0], [0, 1 / 8, 1 / 8, 0], atol=1e-6)


@pytest.mark.parametrize("offset", [(0, 0, 1.0), (0, 0, -0.6), (0.4, -0.3, 2)])
def test_an_offset_moves_samples_and_grid_together(offset: tuple[float, float, float]) -> None:
    volume = _volume((24, 24, 32), (-1.0, 1.0, 1.0))
    spacing = (2.0, 2.0, 4.0) if offset[0] else (1.0, 1.0, 4.0)
    still = simulate_lowres(volume, spacing=spacing, psf="gaussian")
    moved = simulate_lowres(volume, spacing=spacing, psf="gaussian", offset=offset)
    shift = moved.grid.centre - still.grid.centre
    np.testing.assert_allclose(shift, volume.grid.direction @ np.array(offset), atol=1e-12)
    gradient = np.array([0.3, -0.7, 1.1])
    ramp = (volume.grid.to_world(np.moveaxis(np.indices((24, 24, 32)), 0, -1)) @ gradient).astype(np.float32)
    scan = simulate_lowres(volume.with_data(ramp), spacing=spacing, psf="gaussian", offset=offset)
    expected = scan.grid.to_world(np.moveaxis(np.indices(scan.grid.shape), 0, -1)) @ gradient
    middle = tuple(slice(n // 3, n - n // 3) for n in scan.grid.shape)
    np.testing.assert_allclose(scan.data[middle], expected[middle], atol=1e-3)


def test_noise_has_the_stated_level_and_law() -> None:
    """Rician: sigma where the signal is strong, Rayleigh in the air; percent of the 99.5th percentile."""
    shape = (48, 48, 48)
    data = np.zeros(shape, dtype=np.float32)
    data[24:] = 200
    volume = Volume(data, Grid(shape, np.eye(4)))
    options = {"spacing": (1, 1, 2), "noise": 2.0, "seed": 5}
    clean = simulate_lowres(volume, spacing=(1, 1, 2))
    rician = simulate_lowres(volume, **options)  # type: ignore[arg-type]
    strong, air = rician.data[24:], rician.data[:24]
    assert strong.std() == pytest.approx(4, rel=0.02)
    assert np.square(air, dtype=np.float64).mean() == pytest.approx(2 * 4**2, rel=0.02)
    assert air.mean() == pytest.approx(4 * math.sqrt(math.pi / 2), rel=0.02)
    assert rician.data.min() >= 0
    gaussian = simulate_lowres(volume, noise_kind="gaussian", **options)  # type: ignore[arg-type]
    error = gaussian.data - clean.data
    assert error.std() == pytest.approx(4, rel=0.02)
    assert error.mean() == pytest.approx(0, abs=0.06)
    absolute = simulate_lowres(volume, spacing=(1, 1, 2), noise=4.0, noise_unit="absolute", seed=5)
    np.testing.assert_allclose(absolute.data, rician.data, rtol=1e-6)


def test_a_seed_gives_the_same_scan() -> None:
    volume = _volume((24, 20, 32), (1, 1, 1))
    one, two, other = (simulate_lowres(volume, spacing=(1, 1, 4), noise=3, seed=s).data for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1


def test_series_keep_their_frames() -> None:
    volume = _volume((12, 10, 16), (1, 1, 1))
    series = volume.with_data(np.stack([volume.data, 2 * volume.data]))
    scan = simulate_lowres(series, spacing=(1, 1, 4))
    assert scan.data.shape == (2, 12, 10, 4)
    np.testing.assert_allclose(scan.data[1], 2 * simulate_lowres(volume, spacing=(1, 1, 4)).data, rtol=1e-5)


def test_the_operator_is_the_shared_one() -> None:
    """No blur of its own: the same as `Resolution` with the stated point spreads."""
    volume = _volume((24, 20, 32), (1, 1, 1))
    acquisition, _ = plan_lowres(volume, spacing=(2, 1, 4), slice_thickness=3, psf={"z": "rf"})
    assert [None if p is None else (p.kind, p.width) for p in acquisition.psf] == [("kspace", 2), None, ("rf", 3)]
    operator = Resolution((24, 20, 32), (1, 1, 1), (12, 20, 8), (2, 1, 4), acquisition.psf)
    scan = simulate_lowres(volume, spacing=(2, 1, 4), slice_thickness=3, psf={"z": "rf"})
    np.testing.assert_allclose(operator(torch.from_numpy(volume.data)).numpy(), scan.data, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"spacing": (1, 1, 0.5)},
        {"spacing": (1, 1, 1)},
        {"spacing": (1, 1, 13)},
        {"spacing": (1, 1, math.nan)},
        {"spacing": (1, 1)},
        {"spacing": (12, 1, 1)},
        {"spacing": (2, 2, 2), "slice_thickness": 3},
        {"spacing": (2, 2, 1), "slice_axis": 2, "slice_thickness": 3},
        {"spacing": (1, 1, 4), "slice_thickness": 80},
        {"spacing": (1, 1, 4), "slice_axis": 3},
        {"spacing": (1, 1, 4), "psf": "sinc"},
        {"spacing": (1, 1, 4), "noise": -1},
        {"spacing": (1, 1, 4), "noise": math.inf},
        {"spacing": (1, 1, 4), "noise": 1, "noise_kind": "poisson"},
        {"spacing": (1, 1, 4), "noise": 1, "noise_unit": "dB"},
        {"spacing": (1, 1, 4), "offset": (0, 0, 5)},
        {"spacing": (1, 1, 4), "offset": (0.5, 0, 0)},
        {"spacing": (1, 1, 4), "offset": (0, math.nan, 0)},
    ],
)
def test_what_is_no_scan_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        simulate_lowres(_volume((16, 16, 16), (1, 1, 1)), **options)  # type: ignore[arg-type]


def test_crop_to_refuses_what_is_no_part() -> None:
    volume = _volume((16, 16, 16), (1, 1, 1))
    assert crop_to(volume, volume.grid) is volume
    for start in ((0, 0, 0.5), (10, 0, 0), (-1, 0, 0)):
        with pytest.raises(UsageError, match="not a part"):
            crop_to(volume, volume.grid.cut(start, (8, 8, 8)))
