"""Writing MRD: the ismrmrd package reads it, and so does medsr, the same."""

import ismrmrd
import numpy as np
import pytest
from ismrmrd import xsd

from medsr.errors import OutputError, UsageError
from medsr.io import mrd_units
from medsr.io.mrd import read_mrd
from medsr.io.mrd_write import save_mrd, write_mrd
from medsr.measurement import KSpace
from medsr.volume import Grid
from tests.io import mrd_files as m


def grid(shape=(16, 16, 3), spacing=(12.0, 12.0, 5.0), flip=(1, 1, 1)):
    affine = np.eye(4)
    affine[:3, :3] = m.rotation(0.3, -0.2, 0.9) @ np.diag(flip) * spacing
    affine[:3, 3] = (-70.0, 20.5, 33.0)
    return Grid(shape, affine)


def scan(frames=5, coils=3, readouts=2, slices=3, **changes):
    rng = np.random.default_rng(5)
    k = m.spiral(4)
    order = np.arange(frames * readouts).reshape(frames, readouts) % 4
    n = readouts * k.shape[1]

    def noise(*shape):
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)

    values = {
        "data": noise(slices, frames, coils, n),
        "trajectory": k[order].reshape(frames, n, 2).astype(np.float32),
        "times": np.tile(0.03 + np.arange(k.shape[1]) * 4e-6, readouts),
        "grid": grid((16, 16, slices)),
        "readouts": readouts,
        "interleaf": np.broadcast_to(order, (slices, frames, readouts)).astype(np.int64),
        "tr": 1.0,
        "te": 0.03,
        "slice_thickness": 4.0,
        "calibration": KSpace(
            noise(slices, 1, coils, 4 * k.shape[1]),
            k.reshape(1, -1, 2).astype(np.float32),
            np.tile(0.03 + np.arange(k.shape[1]) * 4e-6, 4),
            grid((16, 16, slices)),
            4,
            np.broadcast_to(np.arange(4), (slices, 1, 4)).astype(np.int64),
        ),
    }
    return KSpace(**{**values, **changes})


@pytest.mark.parametrize("unit", mrd_units.UNITS)
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_what_was_written_is_read(tmp_path, unit, flip):
    one = scan(grid=grid(flip=flip))
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal((3, 9000)) + 1j * rng.standard_normal((3, 9000))).astype(np.complex64)
    write_mrd(one, tmp_path / "a.h5", noise=noise, units=unit)
    two = read_mrd(tmp_path / "a.h5", trusted=True)
    assert np.array_equal(two.data, one.data)
    assert np.allclose(two.trajectory, one.trajectory, atol=2e-6)
    assert np.allclose(two.times, one.times, atol=1e-10)
    assert two.grid.is_close(one.grid, 1e-3)
    assert np.array_equal(two.interleaf, one.interleaf) and two.readouts == one.readouts
    assert (two.tr, two.te, two.slice_thickness) == pytest.approx((1.0, 0.03, 4.0))
    assert np.array_equal(two.calibration.data, one.calibration.data)
    assert np.allclose(two.calibration.trajectory, one.calibration.trajectory, atol=2e-6)
    assert np.allclose(two.noise, noise @ noise.conj().T / noise.shape[1], atol=0.02)
    assert f"trajectory units: {unit} (stated in the file)" in two.notes


def test_units_that_are_not_stated_are_detected(tmp_path):
    write_mrd(scan(), tmp_path / "a.h5", units="rad/m", state_units=False)
    two = read_mrd(tmp_path / "a.h5", trusted=True)
    assert np.allclose(two.trajectory, scan().trajectory, atol=1e-5)
    assert any("rad/m (detected" in n for n in two.notes)


def test_a_slab_is_written_and_read(tmp_path):
    n, nz = 120, 6
    k = m.spiral(1)[0]
    kz = np.arange(nz) - nz // 2
    full = np.concatenate([np.concatenate([k, np.full((n, 1), z)], axis=-1) for z in kz])
    rng = np.random.default_rng(2)
    one = KSpace(
        rng.standard_normal((1, 2, 2, n * nz)).astype(np.complex64),
        np.stack([full, full]).astype(np.float32),
        np.tile(0.02 + np.arange(n) * 2e-6, nz),
        grid((16, 16, nz)),
        nz,
        np.zeros((1, 2, nz), dtype=np.int64),
        tr=0.6,
        te=0.02,
    )
    write_mrd(one, tmp_path / "slab.h5")
    two = read_mrd(tmp_path / "slab.h5", trusted=True)
    assert two.dims == 3 and np.array_equal(two.data, one.data)
    assert np.allclose(two.trajectory, one.trajectory, atol=2e-6)
    assert two.grid.is_close(one.grid, 1e-3) and two.tr == pytest.approx(0.6)


def test_the_ismrmrd_package_reads_it(tmp_path):
    one = scan()
    noise = np.ones((3, 500), dtype=np.complex64)
    write_mrd(one, tmp_path / "a.h5", noise=noise, interleaves=20)
    with ismrmrd.Dataset(str(tmp_path / "a.h5"), mode="r") as file:
        header = xsd.CreateFromDocument(file.read_xml_header())
        acquisitions = [file.read_acquisition(i) for i in range(file.number_of_acquisitions())]
    encoding = header.encoding[0]
    assert encoding.trajectory == xsd.trajectoryType.SPIRAL
    assert encoding.encodedSpace.matrixSize.x == 16 and encoding.reconSpace.fieldOfView_mm.z == pytest.approx(4.0)
    assert encoding.encodingLimits.repetition.maximum == 4
    assert encoding.encodingLimits.kspace_encoding_step_1.maximum == 19
    assert pytest.approx([500.0]) == header.sequenceParameters.TR
    assert len(acquisitions) == 1 + 4 * 3 + 5 * 2 * 3
    assert acquisitions[0].is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    assert acquisitions[1].is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    assert acquisitions[-1].is_flag_set(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    assert not acquisitions[-2].is_flag_set(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    assert [a.scan_counter for a in acquisitions] == list(range(len(acquisitions)))
    # frame 3, second readout, slice 2
    a = acquisitions[1 + 12 + 3 * 6 + 3 + 2]
    assert (a.idx.repetition, a.idx.slice, a.idx.kspace_encode_step_1) == (3, 2, 3)
    assert np.array_equal(a.data, one.data[2, 3, :, 120:])
    assert np.array_equal(a.traj, one.trajectory[3, 120:])
    assert a.isChannelActive(2) and not a.isChannelActive(3)
    assert a.sample_time_us == pytest.approx(4.0)
    assert a.acquisition_time_stamp == pytest.approx(3500 + 500 * 2 / 3, abs=1)
    centre = one.grid.to_world([8, 8, 2])
    assert np.allclose(np.array(a.position) * m.LPS, centre, atol=1e-4)
    assert np.allclose(np.array(a.read_dir) * m.LPS, one.grid.direction[:, 0], atol=1e-6)


def test_nothing_is_overwritten_unless_told(tmp_path):
    path = tmp_path / "a.h5"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        save_mrd(scan(), path)
    assert path.read_text() == "mine"
    save_mrd(scan(), path, force=True)
    assert read_mrd(path, trusted=True).frames == 5


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    with pytest.raises(OutputError, match="cannot be written"):
        write_mrd(scan(), tmp_path / "missing" / "a.h5")
    monkeypatch.setattr("medsr.io.mrd_write._Block.rows", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_mrd(scan(), tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


def test_unknown_units_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such trajectory units"):
        write_mrd(scan(), tmp_path / "a.h5", units="furlongs")
