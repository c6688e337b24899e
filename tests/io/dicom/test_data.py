"""Real headers of four vendors against reference NIfTI files, and a whole head and a BOLD run against dcm2niix."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from medsr.cli.main import main
from medsr.io.dicom import choose_series, list_series, read, read_series
from medsr.io.dicom.csa import protocol_values
from medsr.io.dicom.write import Derivation, write_series
from tests.cli.test_dicom import same_world
from tests.io.dicom.synthetic import LPS, assert_same_world

pytestmark = pytest.mark.data
DATA = Path(os.environ.get("MEDSR_DATA", "/nowhere"))
HEADERS = DATA / "dicom" / "dicom2nifti_headers"
HEAD = DATA / "dicom" / "SAG-anon_skyra_mprage"
BOLD = DATA / "fmri4d" / "rt-cloud_siemens_mosaic"
VENDORS = ["ge/anatomical", "philips/anatomical", "siemens/anatomical", "siemens_multiframe/anatomical"]


def reference(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nib.load(path)
    data = np.asarray(image.dataobj, np.float64)
    return (np.moveaxis(data, 3, 0) if data.ndim == 4 else data), image.affine


def dcm2niix(folder: Path, out: Path) -> tuple[np.ndarray, np.ndarray]:
    tool = pytest.importorskip("dcm2niix")
    out.mkdir()
    subprocess.run([tool.bin, "-z", "n", "-b", "n", "-f", "x", "-o", out, folder], check=True, capture_output=True)
    (found,) = out.glob("*.nii")
    return reference(found)


@pytest.mark.parametrize("vendor", VENDORS)
def test_vendor(vendor):
    volume = read(HEADERS / vendor / "001")
    assert_same_world(volume, *reference(HEADERS / vendor / "001_ground_truth.nii.gz"))


def test_siemens_mosaic_with_reversed_numbering():
    """The slices lie where the protocol puts their centres, to 1e-3 mm.

    The reference beside this folder has the slices in the same order, but starts them at the place of the first
    tile, which is the last slice: it lies 49 slices too far up, where the protocol has none. It is the only
    reference that its own header contradicts, so the header is the truth here.
    """
    folder = HEADERS / "siemens" / "fmri" / "001"
    volume = read(folder)
    one = pydicom.dcmread(folder / "IM-0001-0001.dcm", stop_before_pixels=True)
    protocol = protocol_values(one[0x0029, 0x1020].value)
    axes = ("dSag", "dCor", "dTra")
    told = [[protocol.get(f"sSliceArray.asSlice[{n}].sPosition.{a}", 0.0) for a in axes] for n in range(50)]
    centres = volume.grid.to_world([[40, 40, z] for z in range(50)]) @ LPS[:3, :3]
    assert np.abs(centres - told).max() < 1e-3
    data, affine = reference(HEADERS / "siemens" / "fmri" / "001_ground_truth.nii.gz")
    assert np.array_equal(volume.data, data)
    assert np.allclose(volume.grid.affine[:3, :3], affine[:3, :3], atol=1e-6)
    assert np.linalg.norm(volume.grid.affine[:3, 3] - affine[:3, 3]) == pytest.approx(49 * 3.08, abs=1e-3)


@pytest.mark.parametrize("folder", [HEAD, BOLD], ids=["head", "bold"])
def test_same_as_dcm2niix(folder, tmp_path):
    volume = read(folder)
    assert_same_world(volume, *dcm2niix(folder, tmp_path / "out"))


def test_round_trip_of_a_head_through_dcm2niix(tmp_path):
    """DICOM, another grid, DICOM, dcm2niix: every voxel at its place on that grid, to 1e-3 mm."""
    info = choose_series(list_series(HEAD))
    volume = read_series(info)
    grid = volume.grid.resampled((1.2, 1.0, 1.3))
    data = np.random.default_rng(1).integers(0, 4000, grid.shape).astype(np.float32)
    write_series(
        tmp_path / "dicom", volume.with_data(data, grid), Derivation("noise on another grid"), source=info
    )
    found, affine = dcm2niix(tmp_path / "dicom", tmp_path / "out")
    assert_same_world(volume.with_data(data, grid), found, affine)


@pytest.mark.parametrize(
    ("folder", "spacing"),
    [
        *((HEADERS / vendor / "001", "0.8,0.9,0.7") for vendor in VENDORS),
        (HEADERS / "siemens" / "fmri" / "001", "2.5"),
        (HEAD, "0.8"),
        (BOLD, "3"),
    ],
    ids=[*VENDORS, "siemens/fmri", "head", "bold"],
)
def test_round_trip_through_the_command_line(folder, spacing, tmp_path):
    """DICOM, reconstruct, DICOM, dcm2niix: the world of the direct NIfTI route, to 1e-3 mm; dciodvfy agrees."""
    common = ["reconstruct", str(folder), "--spacing", spacing, "--method", "spline", "--no-report"]
    assert main([*common, "-o", str(tmp_path / "direct.nii.gz")]) == 0
    assert main([*common, "-o", str(tmp_path / "series"), "--format", "dicom"]) == 0
    off = same_world(tmp_path / "direct.nii.gz", *dcm2niix(tmp_path / "series", tmp_path / "out"))
    assert off < 1e-3, f"{folder.relative_to(DATA)}: {off:.2g} mm"
    if shutil.which("dciodvfy"):
        first = tmp_path / "series" / "IMG000001.dcm"
        done = subprocess.run(["dciodvfy", first], capture_output=True, text=True, check=False)
        assert not [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
