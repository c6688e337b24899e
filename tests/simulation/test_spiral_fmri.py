"""Runs whose answer is known: noise, activation, geometry, raw data, truth."""

import dataclasses
import json

import numpy as np
import pytest

from medsr.acquisition.trajectory import density_weights, variable_density_spiral
from medsr.errors import InputError, OutputError, UsageError
from medsr.evaluation.fmri import evaluate_fmri
from medsr.io import open_volume
from medsr.io.mrd import read_mrd
from medsr.simulation.paradigm import parse_events_tsv
from medsr.simulation.physiology import Levels
from medsr.simulation.protocol import Protocol
from medsr.simulation.spiral_fmri import save_run, simulate_spiral_fmri
from medsr.volume import Grid, Volume
from tests.io import mrd_files
from tests.simulation.heads import head

QUIET = Levels(0, 0, 0, 0, 0, 0)
SMALL = Protocol(matrix=32, slices=1, frames=6, interleaves=6, coils=4, tr=1.0, seed=3, dwell=8e-6)


@pytest.fixture(scope="module")
def volume():
    return head(2.5, shape=(68, 80, 64))


@pytest.fixture(scope="module")
def run(volume):
    return simulate_spiral_fmri(volume, dataclasses.replace(SMALL, slices=2, frames=8, slice_gap=1.0))


def gridded(scan, interleaves, s=0):
    """Root sum of squares over coils of the density-weighted adjoint of fully sampled frames, (frames, x, y)."""
    n = scan.image_shape[0]
    fov, dwell = scan.grid.field_of_view[0] / 1e3, scan.times[1] - scan.times[0]
    spiral = variable_density_spiral(n, fov, interleaves, dwell=dwell)
    w = np.tile(density_weights(spiral), scan.readouts)
    axis = (np.arange(n) - n // 2) / n
    r = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    assert (scan.trajectory == scan.trajectory[:1]).all()
    phase = np.exp(2j * np.pi * r.reshape(-1, 2) @ scan.trajectory[0].astype(float).T).astype(np.complex64)
    samples = (w * scan.data[s]).astype(np.complex64).reshape(-1, len(w))
    image = (phase @ samples.T / n).reshape(n, n, scan.frames, scan.coils)
    return np.sqrt((np.abs(image) ** 2).sum(axis=-1)).transpose(2, 0, 1)


def test_shapes_and_facts(run):
    scan = run.kspace
    samples = len(variable_density_spiral(32, 0.22, 6, dwell=8e-6).times)
    assert scan.data.shape == (2, 8, 4, samples) and scan.trajectory.shape == (8, samples, 2)
    assert scan.calibration.data.shape == (2, 1, 4, 6 * samples) and scan.calibration.readouts == 6
    assert run.truth.data.shape == (8, 32, 32, 2) and run.activation.data.shape == (32, 32, 2)
    assert run.truth.grid.is_close(scan.grid) and scan.grid.spacing == pytest.approx((6.875, 6.875, 4.0))
    assert (scan.tr, scan.te, scan.slice_thickness) == (1.0, 0.03, 3.0)
    assert scan.times[0] == pytest.approx(0.03)
    assert np.isfinite(scan.data.view(np.float32)).all()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(volume, run):
    protocol = run.protocol
    again = simulate_spiral_fmri(volume, protocol)
    assert np.array_equal(again.kspace.data, run.kspace.data) and np.array_equal(again.truth.data, run.truth.data)
    other = simulate_spiral_fmri(volume, dataclasses.replace(protocol, seed=4))
    assert not np.allclose(other.truth.data, run.truth.data, rtol=1e-3)


def test_more_coils_leave_the_head_as_it_is(volume, run):
    other = simulate_spiral_fmri(volume, dataclasses.replace(run.protocol, coils=6))
    assert np.array_equal(other.field.data, run.field.data) and other.events == run.events
    # only the shading follows the coils
    ratio = other.truth.data[1:] / run.truth.data[1:]
    first = other.truth.data[0] / run.truth.data[0]
    tissue = run.truth.data[0] > 0.3
    assert np.abs(ratio - first)[:, tissue].max() < 0.02


def test_a_fully_sampled_scan_shows_the_truth(volume):
    """Nothing of the reconstruction's own operators was used, yet place and scale agree."""
    p = dataclasses.replace(SMALL, frames=2, readouts=6, order="cyclic", levels=QUIET, off_resonance=0.0, snr=1e5)
    result = simulate_spiral_fmri(volume, p)
    image = gridded(result.kspace, 6)[0]
    truth = result.truth.data[0, ..., 0]
    tissue = truth > 0.3 * np.percentile(truth, 99)
    assert np.linalg.norm((image - truth)[tissue]) < 0.06 * np.linalg.norm(truth[tissue])
    assert np.median((image / truth)[tissue]) == pytest.approx(1, abs=0.03)
    calibration = gridded(result.kspace.calibration, 6)[0]
    assert np.linalg.norm((calibration - image)[tissue]) < 0.01 * np.linalg.norm(image[tissue])


def test_thermal_noise_is_as_stated(volume):
    p = dataclasses.replace(SMALL, frames=60, readouts=6, order="cyclic", levels=QUIET, task="rest", snr=50.0)
    result = simulate_spiral_fmri(volume, p)
    clean = simulate_spiral_fmri(volume, dataclasses.replace(p, snr=1e9))
    noise = result.kspace.data - clean.kspace.data
    assert np.sqrt((np.abs(noise) ** 2).mean()) == pytest.approx(result.noise_level, rel=0.01)
    flat = noise[0].transpose(1, 0, 2).reshape(4, -1)
    psi = flat @ flat.conj().T / flat.shape[1]
    assert np.allclose(psi, result.kspace.noise, atol=0.05 * result.noise_level**2)
    # a combination that knows the maps leaves the SNR asked for: here white noise, one coil's share at a time
    white = result.kspace.prewhitened()
    assert np.allclose(np.diag(white.noise), result.noise_level**2, rtol=0.05)
    w = density_weights(variable_density_spiral(32, 0.22, 6, dwell=8e-6))
    spread = result.noise_level / np.sqrt(2) * np.sqrt(6 * (w**2).sum()) / 32
    signal = result.truth.data.mean(axis=0)
    signal = signal[signal > 0.25 * np.percentile(signal, 99)].mean()
    assert signal / spread == pytest.approx(50, rel=0.01)


def test_noise_of_a_gridded_frame_is_the_level_predicted(volume):
    p = dataclasses.replace(
        SMALL, coils=1, frames=80, readouts=6, order="cyclic", levels=QUIET, task="rest", snr=40.0
    )
    result = simulate_spiral_fmri(volume, p)
    clean = simulate_spiral_fmri(volume, dataclasses.replace(p, frames=1, snr=1e9))
    series = gridded(result.kspace, 6)
    signal = gridded(clean.kspace, 6)[0]
    truth = result.truth.data.mean(axis=0)[..., 0]
    tissue = truth > 0.25 * np.percentile(truth, 99)
    assert signal[tissue].mean() / np.sqrt(series.var(axis=0)[tissue].mean()) == pytest.approx(40, rel=0.1)


def test_the_model_finds_the_activation_that_was_put_in(volume):
    p = dataclasses.replace(SMALL, matrix=48, frames=160, coils=2, levels=QUIET, bold=3.0, regions=3)
    result = simulate_spiral_fmri(volume, p)
    figures = evaluate_fmri(result.truth, result.truth, result.events, result.activation)
    assert figures.active > 10
    active = result.activation.data >= 0.5 * result.activation.data.max()
    from medsr.evaluation.glm import design_matrix, fit

    model = fit(result.truth.data[:, active], design_matrix(result.events, 160, 1.0))
    assert np.allclose(model.percent, result.activation.data[active], atol=0.05)
    # the middle of an activated place has the amplitude asked for, its edge rings
    assert np.median(result.activation.data[active]) == pytest.approx(3.0, rel=0.15)


def test_a_null_run_has_no_activation(volume):
    result = simulate_spiral_fmri(volume, dataclasses.replace(SMALL, task="rest"))
    assert result.events == ()
    quiet = simulate_spiral_fmri(volume, dataclasses.replace(SMALL, task="rest", levels=QUIET))
    assert np.ptp(quiet.truth.data, axis=0).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "level"), [("cardiac", 0.02), ("respiratory", 0.02), ("drift", 0.02), ("motion", 0.4)]
)
def test_each_disturbance_shows_in_the_truth(volume, name, level):
    p = dataclasses.replace(
        SMALL, frames=80, tr=0.7, task="rest", coils=1, levels=dataclasses.replace(QUIET, **{name: level})
    )
    truth = simulate_spiral_fmri(volume, p).truth.data
    mean = truth.mean(axis=0)
    tissue = mean > 0.3 * np.percentile(mean, 99)
    change = np.sqrt(((truth - mean)[:, tissue] ** 2).mean() / (mean[tissue] ** 2).mean())
    if name == "motion":
        assert 0.003 < change < 0.1
    else:
        assert change == pytest.approx(level, rel=0.5)


def test_field_changes_turn_the_phase_and_not_the_truth(volume):
    p = dataclasses.replace(SMALL, task="rest", snr=1e9, levels=dataclasses.replace(QUIET, drift_hz=5.0))
    moved = simulate_spiral_fmri(volume, p)
    still = simulate_spiral_fmri(volume, dataclasses.replace(p, levels=QUIET))
    assert np.array_equal(moved.truth.data, still.truth.data)
    turned = moved.kspace.data / still.kspace.data
    assert np.abs(np.abs(turned) - 1).max() < 1e-2 and np.abs(np.angle(turned[..., 0])).max() > 0.1


def test_a_gradient_delay_is_in_the_data_and_not_in_the_file(volume):
    p = dataclasses.replace(SMALL, levels=QUIET, task="rest")
    late, right = (
        simulate_spiral_fmri(volume, dataclasses.replace(p, delay=(4e-6, 2e-6))),
        simulate_spiral_fmri(volume, p),
    )
    assert np.array_equal(late.kspace.trajectory, right.kspace.trajectory)
    assert np.linalg.norm(late.kspace.data - right.kspace.data) > 0.05 * np.linalg.norm(right.kspace.data)


def test_slices_lie_where_the_image_has_them():
    """An oblique, flipped image in sagittal storage: the truth resampled there shows the same head."""
    turn = mrd_files.rotation(0.15, -0.1, 0.2)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[0, 0, 2.5], [-2.5, 0, 0], [0, 2.5, 0]])  # stored as A-P, I-S, L-R
    affine[:3, 3] = -affine[:3, :3] @ (np.array([80, 64, 68]) - 1) / 2
    oblique = head(affine=affine, shape=(80, 64, 68))
    p = dataclasses.replace(
        SMALL, matrix=48, slices=3, frames=1, coils=8, levels=QUIET, contrast="as-is", slice_gap=5.0
    )
    result = simulate_spiral_fmri(oblique, p)
    grid = result.truth.grid
    assert abs(grid.direction[2, 2]) > 0.9
    from scipy.ndimage import map_coordinates

    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    inverse = np.linalg.inv(affine)
    index = grid.to_world(voxels) @ inverse[:3, :3].T + inverse[:3, 3]
    there = map_coordinates(oblique.data, np.moveaxis(index, -1, 0), order=1)
    for s in range(3):
        a, b = result.truth.data[0, ..., s], there[..., s]
        shifted = [
            np.corrcoef(a.ravel(), np.roll(b, (i, j), (0, 1)).ravel())[0, 1]
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        ]
        assert np.argmax(shifted) == 4 and shifted[4] > 0.9


def test_files_hold_the_run(tmp_path, run):
    paths = save_run(run, tmp_path / "raw.h5")
    assert (
        {p.name for p in paths}
        == {
            "raw.h5",
            "raw_truth.nii.gz",
            "raw_activation.nii.gz",
            "raw_fieldmap.nii.gz",
            "raw_events.tsv",
            "raw_protocol.json",
        }
        == {p.name for p in tmp_path.iterdir()}
    )
    scan = read_mrd(tmp_path / "raw.h5")
    assert np.array_equal(scan.data, run.kspace.data)
    assert np.array_equal(scan.calibration.data, run.kspace.calibration.data)
    assert np.allclose(scan.trajectory, run.kspace.trajectory, atol=1e-5)
    assert np.allclose(scan.noise, run.kspace.noise, rtol=1e-3)
    assert scan.grid.is_close(run.truth.grid, 1e-3) and scan.tr == pytest.approx(1.0)
    truth = open_volume(tmp_path / "raw_truth.nii.gz")
    assert np.allclose(truth.data, run.truth.data) and truth.facts.tr == pytest.approx(1.0)
    assert truth.grid.is_close(scan.grid, 1e-2)
    assert parse_events_tsv((tmp_path / "raw_events.tsv").read_text()) == run.events
    assert json.loads((tmp_path / "raw_protocol.json").read_text())["matrix"] == 32
    with pytest.raises(OutputError):
        save_run(run, tmp_path / "raw.h5")
    with pytest.raises(UsageError):
        save_run(run, tmp_path / "raw.dat")


def test_no_inverse_crime(run):
    """The object has more points than the image, and the samples hold what the image's grid cannot."""
    assert run.protocol.oversampling >= 2
    with pytest.raises(UsageError, match="oversampling"):
        dataclasses.replace(SMALL, oversampling=1.0)


def test_what_makes_no_sense_is_refused(volume):
    for wrong in ({"coils": 0}, {"frames": 0}, {"te": 2.0}, {"readouts": 7}, {"order": "random"}, {"snr": 0.0}):
        with pytest.raises(UsageError, match="makes no sense"):
            dataclasses.replace(SMALL, **wrong)
    with pytest.raises(InputError, match="nothing to image"):
        simulate_spiral_fmri(Volume(np.zeros((20, 20, 20), np.float32), Grid((20, 20, 20), np.eye(4))), SMALL)
    with pytest.raises(InputError, match="no tissue"):
        simulate_spiral_fmri(volume, dataclasses.replace(SMALL, slice_offset=200.0))
    with pytest.raises(UsageError, match="does not fit the protocol"):
        simulate_spiral_fmri(volume, SMALL, spiral=variable_density_spiral(48))
