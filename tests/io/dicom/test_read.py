"""Voxels come out of DICOM at their places in the world, whatever way they are stored."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from medsr.errors import GeometryError, InputError
from medsr.io.dicom import list_series, read
from tests.io.dicom.synthetic import (
    GEOMETRIES,
    assert_same_world,
    numbers,
    write_classic,
    write_enhanced,
    write_mosaic,
)

AFFINE = GEOMETRIES["oblique"]


@pytest.mark.parametrize("name", GEOMETRIES)
def test_classic_geometry(tmp_path, name):
    data = numbers(6, 5, 4)
    write_classic(tmp_path, data, GEOMETRIES[name])
    volume = read(tmp_path)
    assert_same_world(volume, data, GEOMETRIES[name])
    assert np.linalg.det(volume.grid.affine) > 0
    assert volume.facts.slice_axis == 2


def test_thickness_is_not_spacing(tmp_path):
    write_classic(tmp_path, numbers(4, 4, 3), GEOMETRIES["axial"] @ np.diag([1, 1, 5 / 3, 1]), thickness=4)
    volume = read(tmp_path)
    assert volume.grid.spacing == pytest.approx((0.8, 0.8, 5))
    assert volume.facts.slice_thickness == 4
    assert volume.facts.acquisition_type == "2D"
    assert (volume.facts.tr, volume.facts.te) == (0.6, 0.0125)


def test_spacing_is_that_of_the_positions_whatever_the_header_says(tmp_path):
    def edit(one, time, place):
        one.SpacingBetweenSlices = "7"

    write_classic(tmp_path, numbers(4, 4, 3), GEOMETRIES["axial"], edit=edit)
    volume = read(tmp_path)
    assert volume.grid.spacing[2] == pytest.approx(3)
    assert any("7 mm between slices" in note for note in volume.notes)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_native_syntaxes(tmp_path, syntax):
    data = numbers(6, 5, 4)
    write_classic(tmp_path, data, AFFINE, syntax=syntax)
    assert_same_world(read(tmp_path), data, AFFINE)


def test_deflated(tmp_path):
    data = numbers(6, 5, 4)
    write_classic(tmp_path, data, AFFINE, syntax=DeflatedExplicitVRLittleEndian)
    assert_same_world(read(tmp_path), data, AFFINE)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compressed(tmp_path, syntax):
    if syntax == JPEG2000Lossless:
        pytest.importorskip("openjpeg")
    data = numbers(48, 64, 3)
    for path in write_classic(tmp_path, data, AFFINE):
        one = pydicom.dcmread(path)
        one.compress(syntax, generate_instance_uid=False)
        one.save_as(path)
    assert_same_world(read(tmp_path), data, AFFINE)


@pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="needs dcmcjpeg (dcmtk)")
def test_lossless_jpeg(tmp_path):
    """What most scanners and archives compress with; GDCM decodes it."""
    pytest.importorskip("gdcm")
    data = numbers(48, 64, 3)
    for path in write_classic(tmp_path, data, AFFINE):
        subprocess.run(["dcmcjpeg", "+e1", path, path], check=True)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == JPEGLosslessSV1
    assert_same_world(read(tmp_path), data, AFFINE)


def test_without_preamble(tmp_path):
    data = numbers(6, 5, 4)
    for path in write_classic(tmp_path, data, AFFINE, syntax=ImplicitVRLittleEndian):
        one = pydicom.dcmread(path)
        del one.file_meta
        one.preamble = None
        one.save_as(path, implicit_vr=True, little_endian=True)
        assert path.read_bytes()[:2] == b"\x08\x00"
    assert_same_world(read(tmp_path), data, AFFINE)


def test_slope_and_intercept_of_each_slice(tmp_path):
    def edit(one, time, place):
        one.RescaleSlope, one.RescaleIntercept = f"{place + 0.5}", "-10"

    data = numbers(6, 5, 4)
    write_classic(tmp_path, data, AFFINE, edit=edit)
    assert_same_world(read(tmp_path), data * (np.arange(4) + 0.5) - 10, AFFINE)


def test_signed_codes_and_unused_bits(tmp_path):
    """12 stored bits, the highest one the sign, and an overlay in the four above them."""

    def edit(one, time, place):
        one.PixelRepresentation = 1
        codes = np.frombuffer(one.PixelData, "<u2") | 0x5000
        one.PixelData = codes.astype("<u2").tobytes()

    data = numbers(6, 5, 4)
    write_classic(tmp_path, data, AFFINE, edit=edit)
    signed = data.astype(int)
    assert_same_world(read(tmp_path), np.where(signed > 2047, signed - 4096, signed), AFFINE)


def _no_acquisition(one):
    del one.AcquisitionNumber


@pytest.mark.parametrize("key", ["acquisition", "temporal", "trigger", "time", "instance"])
def test_split_by_time(tmp_path, key):
    """Times come in the order of whatever tells them apart, here against the order of the instance numbers."""

    def edit(one, time, place):
        _no_acquisition(one)
        if key == "acquisition":
            one.AcquisitionNumber = 10 - time
        elif key == "temporal":
            one.TemporalPositionIdentifier = 10 - time
        elif key == "trigger":
            one.TriggerTime = str(100 - 10 * time + place)
        elif key == "time":
            one.AcquisitionDate, one.AcquisitionTime = "20240101", f"1000{50 - 2 * time:02d}.{place:02d}"

    data = numbers(3, 4, 5, 6)
    write_classic(tmp_path, data, AFFINE, edit=edit)
    volume = read(tmp_path)
    assert_same_world(volume, data if key == "instance" else data[::-1], AFFINE)
    assert volume.facts.tr == (2.0 if key == "time" else 0.6)
    assert any("instance numbers" in note for note in volume.notes) == (key == "instance")


def test_measured_time_step_wins_over_the_repetition_time(tmp_path):
    def edit(one, time, place):
        one.AcquisitionDate, one.AcquisitionTime = "20231231", f"2359{50 + 3 * time:02d}"
        if time == 3:
            one.AcquisitionDate, one.AcquisitionTime = "20240101", "000002"

    write_classic(tmp_path, numbers(4, 4, 5, 3), AFFINE, edit=edit)
    volume = read(tmp_path)
    assert volume.facts.tr == 3
    assert any("3 s apart" in note for note in volume.notes)


@pytest.mark.parametrize("name", ["sagittal", "oblique", "slices downwards"])
def test_enhanced(tmp_path, name):
    data = numbers(5, 4, 6)
    write_enhanced(tmp_path / "a.dcm", data, GEOMETRIES[name])
    volume = read(tmp_path / "a.dcm")
    assert_same_world(volume, data * 2.0 - 3, GEOMETRIES[name])
    assert (volume.facts.tr, volume.facts.te, volume.facts.slice_thickness) == (2.5, 0.033, 2)


def test_enhanced_in_time(tmp_path):
    data = numbers(3, 5, 4, 6)
    write_enhanced(tmp_path / "a.dcm", data, AFFINE)
    assert_same_world(read(tmp_path), data * np.array([2.0, 3, 4]).reshape(3, 1, 1, 1) - 3, AFFINE)


@pytest.mark.parametrize("name", ["axial", "oblique", "oblique sagittal", "slices downwards"])
@pytest.mark.parametrize("told", ["normal", "protocol", "reversed protocol"])
def test_mosaic(tmp_path, name, told):
    """7 slices in 3 x 3 tiles. A protocol lists slices in the tiles' order, or the other way round."""
    data = numbers(2, 6, 4, 7)
    write_mosaic(
        tmp_path,
        data,
        GEOMETRIES[name],
        normal=told == "normal",
        protocol=told != "normal",
        reverse_protocol=told == "reversed protocol",
    )
    volume = read(tmp_path)
    assert_same_world(volume, data, GEOMETRIES[name])
    assert volume.facts.tr == 2


def test_mosaic_without_its_private_header_is_refused(tmp_path):
    write_mosaic(tmp_path, numbers(1, 6, 4, 7), AFFINE, count=False)
    with pytest.raises(InputError, match="unknown number of slices"):
        read(tmp_path)
    write_mosaic(tmp_path, numbers(1, 6, 4, 7), AFFINE, normal=False)
    with pytest.raises(GeometryError, match="no slice direction"):
        read(tmp_path)


def test_one_mosaic_is_one_volume(tmp_path):
    data = numbers(1, 6, 4, 7)
    path = write_mosaic(tmp_path, data, AFFINE)[0]
    assert read(path).data.shape == (6, 4, 7)
    assert list_series(path)[0].count == 7
