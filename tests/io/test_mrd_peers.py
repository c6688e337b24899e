"""MRD files between medsr and its peers: ISMRMRD's own programs (Debian's ismrmrd-tools) and mrpro.

Tests of programs that are not installed skip; mrpro's is run by ``pytest -m peers`` in an environment that has it.
"""

import shutil
import subprocess
import sys
import types

import h5py
import numpy as np
import pytest

import medsr
from medsr.io.mrd import read_mrd
from medsr.io.mrd_write import write_mrd
from tests.io.test_mrd_write import scan


def program(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"not installed: {name}")
    return found


@pytest.fixture
def mrpro():
    # mrpro needs torchvision for its phantoms only
    for module in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
        sys.modules.setdefault(module, types.ModuleType(module))
    sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
    sys.modules["torchvision.transforms"].functional = sys.modules["torchvision.transforms.functional"]
    return pytest.importorskip("mrpro")


@pytest.mark.parametrize("options", [[], ["-a", "2"], ["-k"]], ids=["lines", "every other line", "with positions"])
def test_what_ismrmrd_s_generator_writes_is_read_and_explained(tmp_path, options):
    """Its phantom comes out in its place, and the samples are explained to the noise that it scanned."""
    path = tmp_path / "generated.h5"
    generate = program("ismrmrd_generate_cartesian_shepp_logan")
    size = ["-m", "48", "-c", "4", "-r", "2", "-n", "0.02", "-C"]
    subprocess.run([generate, *size, *options, "-o", str(path)], check=True, capture_output=True)
    result = medsr.reconstruct(path, method="kt", threads=1)
    assert result.figures["residual_over_noise"] == pytest.approx(1.0, abs=0.05)
    with h5py.File(path) as file:
        phantom = file["dataset/phantom"][0]
    truth = np.hypot(phantom["real"], phantom["imag"]).T  # rows are phase encodes
    image = result.volume.data[0, :, :, 0]
    assert np.corrcoef(truth.ravel(), image.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("name", ["ismrmrd_info", "ismrmrd_read_timing_test"])
def test_ismrmrd_s_programs_read_what_medsr_writes(tmp_path, name):
    write_mrd(scan(), tmp_path / "a.h5")
    subprocess.run([program(name), str(tmp_path / "a.h5")], check=True, capture_output=True)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")  # of mrpro, on vendors and times
def test_what_mrpro_reads_and_writes_is_what_medsr_wrote(tmp_path, mrpro):
    one = scan(calibration=None)
    write_mrd(one, tmp_path / "a.h5")
    data = mrpro.data.KData.from_file(tmp_path / "a.h5", mrpro.data.traj_calculators.KTrajectoryIsmrmrd())
    data.to_file(tmp_path / "b.h5")
    two = read_mrd(tmp_path / "b.h5")
    assert np.allclose(two.data, one.data, atol=1e-6)
    assert np.allclose(two.trajectory, one.trajectory, atol=1e-5)
    assert two.grid.is_close(one.grid, 1e-2)
    assert two.slice_thickness == pytest.approx(one.slice_thickness)
