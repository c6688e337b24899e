"""Series that would put voxels where they are not are refused, and the message says which slices."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage, GrayscaleSoftcopyPresentationStateStorage, SecondaryCaptureImageStorage

from medsr.errors import GeometryError, InputError
from medsr.io.dicom import list_series, read
from tests.io.dicom.synthetic import (
    AXIAL,
    CORONAL,
    GEOMETRIES,
    SAGITTAL,
    affine_of,
    assert_same_world,
    base,
    decimals,
    numbers,
    save,
    write_classic,
    write_enhanced,
)

AFFINE = GEOMETRIES["axial"]  # slices 3 mm apart, the first at 7 mm


def test_missing_slices_are_named(tmp_path):
    paths = write_classic(tmp_path, numbers(4, 4, 10), AFFINE)
    paths[3].unlink()
    paths[6].unlink()
    paths[7].unlink()
    with pytest.raises(
        GeometryError, match=r"missing slices; got 1 between 13.00 and 19.00 mm, 2 between 22.00 and 31"
    ):
        read(tmp_path)


def test_uneven_slices_are_named(tmp_path):
    def edit(one, time, place):
        if place == 2:
            one.ImagePositionPatient[2] += 0.4

    write_classic(tmp_path, numbers(4, 4, 8), AFFINE, edit=edit)
    with pytest.raises(
        GeometryError, match=r"unevenly spaced slices; got 3.4 mm between 10.00 and 13.40 mm, 2.6 mm"
    ):
        read(tmp_path)


def test_rounded_positions_are_even_enough(tmp_path):
    def edit(one, time, place):
        one.ImagePositionPatient = [f"{float(v):.2f}" for v in one.ImagePositionPatient]

    write_classic(tmp_path, numbers(4, 4, 8), GEOMETRIES["oblique"], edit=edit)
    assert_same_world(read(tmp_path), numbers(4, 4, 8), GEOMETRIES["oblique"], tolerance=0.02)


def test_one_doubled_slice_is_named(tmp_path):
    write_classic(tmp_path, numbers(4, 4, 5), AFFINE)
    extra = write_classic(tmp_path / "more", numbers(4, 4, 5), AFFINE, edit=_another_uid)
    for path in extra[:2] + extra[3:]:
        path.unlink()
    with pytest.raises(GeometryError, match=r"doubled slices; got 1 at most places, more at 13.00 mm"):
        read(tmp_path)


def _another_uid(one, time, place):
    one.SOPInstanceUID += ".9"


def test_a_whole_copy_under_other_uids_is_refused(tmp_path):
    write_classic(tmp_path / "a", numbers(4, 4, 5), AFFINE)
    write_classic(tmp_path / "b", numbers(4, 4, 5), AFFINE, edit=_another_uid)
    with pytest.raises(GeometryError, match="doubled slices; got 2 at every place, and nothing tells them apart"):
        read(tmp_path)


def test_exact_copies_are_left_out_and_said(tmp_path):
    paths = write_classic(tmp_path, numbers(4, 4, 5), AFFINE)
    shutil.copy(paths[1], tmp_path / "copy")
    volume = read(tmp_path)
    assert_same_world(volume, numbers(4, 4, 5), AFFINE)
    assert any("1 files were exact copies" in note for note in volume.notes)


def test_one_uid_with_two_contents_is_refused(tmp_path):
    write_classic(tmp_path / "a", numbers(4, 4, 5), AFFINE)
    write_classic(tmp_path / "b", numbers(4, 4, 5)[::-1], AFFINE)
    with pytest.raises(InputError, match="one SOP Instance UID and different contents"):
        read(tmp_path)


def test_an_incomplete_time_is_named(tmp_path):
    paths = write_classic(tmp_path, numbers(3, 4, 4, 5), AFFINE)
    paths[-2].unlink()
    with pytest.raises(GeometryError, match=r"missing slices; got 3 times at most places, fewer at 16.00 mm"):
        read(tmp_path)


def test_a_localiser_of_three_planes_is_named(tmp_path):
    for n, directions in enumerate((AXIAL, SAGITTAL, CORONAL)):
        write_classic(tmp_path / str(n), numbers(4, 4, 3), affine_of(directions, (1, 1, 10)), edit=_numbered(n))
    with pytest.raises(GeometryError, match=r"3 orientations \(3 axial, 3 coronal, 3 sagittal\).*localiser"):
        read(tmp_path)


def _numbered(n):
    def edit(one, time, place):
        one.SOPInstanceUID += f".{n}"

    return edit


def test_patients_are_not_mixed(tmp_path):
    def edit(one, time, place):
        one.PatientID = "P1" if place else "SOMEBODY"

    write_classic(tmp_path, numbers(4, 4, 5), AFFINE, edit=edit)
    with pytest.raises(InputError, match="slices of different patients") as caught:
        read(tmp_path)
    assert "SOMEBODY" not in str(caught.value)


def test_a_slanted_stack_is_refused(tmp_path):
    def edit(one, time, place):
        one.ImagePositionPatient[1] += place * 3 * np.tan(np.radians(2))

    write_classic(tmp_path, numbers(4, 4, 5), AFFINE, edit=edit)
    with pytest.raises(GeometryError, match=r"slanted stack.*2.00 degrees"):
        read(tmp_path)


def test_a_slice_beside_the_others_is_named(tmp_path):
    def edit(one, time, place):
        if place == 2:
            one.ImagePositionPatient[0] += 1

    write_classic(tmp_path, numbers(4, 4, 5), AFFINE, edit=edit)
    with pytest.raises(GeometryError, match=r"do not lie above one another; got 1 mm beside .* at 13.00 mm"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: setattr(one, "PixelSpacing", [2, 2]), "different pixel spacings"),
        (lambda one: one.__delitem__("ImagePositionPatient"), "no usable position"),
        (lambda one: setattr(one, "ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "several orientations"),
        (lambda one: setattr(one, "ImageOrientationPatient", ["1"] * 5), "broken ImageOrientationPatient"),
        (lambda one: setattr(one, "RescaleSlope", "0"), "slope of 0"),
        (lambda one: setattr(one, "BitsStored", 17), "impossible bits"),
        (lambda one: setattr(one, "BitsAllocated", 12), "odd pixel size"),
        (lambda one: setattr(one, "Rows", 0), "no image size"),
        (lambda one: setattr(one, "Rows", 60000), "different matrix sizes .*; got 4 x 4, 60000 x 4"),
        (lambda one: setattr(one, "NumberOfFrames", 7), "classic image with 7 frames"),
        (lambda one: setattr(one, "ModalityLUTSequence", [Dataset()]), "look-up table"),
    ],
)
def test_broken_slices(tmp_path, change, message):
    def edit(one, time, place):
        if place == 1:
            change(one)

    write_classic(tmp_path, numbers(4, 4, 3), AFFINE, edit=edit)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_orientation_that_is_none(tmp_path):
    def edit(one, time, place):
        one.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]

    write_classic(tmp_path, numbers(4, 4, 3), AFFINE, edit=edit)
    with pytest.raises(GeometryError, match="not two unit vectors at a right angle"):
        read(tmp_path)


def test_enhanced_that_describes_too_few_frames(tmp_path):
    def edit(one):
        del one.PerFrameFunctionalGroupsSequence[-1]

    write_enhanced(tmp_path / "a.dcm", numbers(4, 4, 3), AFFINE, edit=edit)
    with pytest.raises(InputError, match="describes 2 of its 3 frames"):
        read(tmp_path)


def test_one_slice_is_no_volume(tmp_path):
    path = write_classic(tmp_path, numbers(4, 4, 3), AFFINE)[0]
    with pytest.raises(GeometryError, match="one slice only"):
        read(path)


def test_phase_images_are_kept_apart(tmp_path):
    def edit(one, time, place):
        _another_uid(one, time, place)
        one.ImageType = ["ORIGINAL", "PRIMARY", "P"]

    write_classic(tmp_path / "a", numbers(4, 4, 3), AFFINE)
    write_classic(tmp_path / "b", numbers(4, 4, 3), AFFINE, edit=edit)
    assert [info.part for info in list_series(tmp_path)] == ["", "phase"]
    assert_same_world(read(tmp_path), numbers(4, 4, 3), AFFINE)
    with pytest.raises(InputError, match="magnitude"):
        read(tmp_path, "1:phase")


def test_echoes_are_kept_apart(tmp_path):
    def edit(one, time, place):
        one.EchoTime = ["9.2", "80"][time]

    data = numbers(2, 4, 4, 3)
    write_classic(tmp_path, data, AFFINE, edit=edit)
    with pytest.raises(InputError, match=r"2 series fit; got 1:echo 80 ms .* \| 1:echo 9.2 ms"):
        read(tmp_path)
    volume = read(tmp_path, "1:echo 80 ms")
    assert_same_world(volume, data[1], AFFINE)
    assert volume.facts.te == 0.08


def test_other_objects_are_left_aside_and_named(tmp_path):
    write_classic(tmp_path, numbers(4, 4, 3), AFFINE)
    for n, kind in enumerate((BasicTextSRStorage, GrayscaleSoftcopyPresentationStateStorage)):
        other = base(kind, seed=f"{n + 5}")
        other.SOPInstanceUID = f"1.2.826.1.8.9.{n}"
        save(other, tmp_path / f"other{n}.dcm")
    colour = base(SecondaryCaptureImageStorage, seed="7")
    colour.SOPInstanceUID, colour.SamplesPerPixel, colour.PhotometricInterpretation = "1.2.826.1.8.9.5", 3, "RGB"
    colour.PixelData = b"00"
    save(colour, tmp_path / "colour.dcm")
    in_series = base()
    in_series.SOPInstanceUID, in_series.SamplesPerPixel, in_series.PhotometricInterpretation = "1.2.3.4", 3, "RGB"
    in_series.PixelData = b"00"
    save(in_series, tmp_path / "rgb.dcm")
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    found = list_series(tmp_path)
    assert [info.number for info in found] == [1, 5, 6, 7]
    assert [info.problem is None for info in found] == [True, False, False, False]
    assert "Basic Text SR Storage" in (found[1].reason or "")
    assert "Grayscale Softcopy Presentation State" in (found[2].reason or "")
    assert "Secondary Capture" in (found[3].reason or "")
    volume = read(tmp_path)
    assert volume.data.shape == (4, 4, 3)
    assert any("1 objects left aside: a colour image" in note for note in volume.notes)


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no DICOM files"):
        read(tmp_path)
    (tmp_path / "text.dcm").write_text("text")
    with pytest.raises(InputError, match="holds no DICOM files"):
        read(tmp_path)
    with pytest.raises(InputError, match="not a DICOM file"):
        read(tmp_path / "text.dcm")
    with pytest.raises(InputError, match=r"has no image size"):
        one = base()
        one.SOPInstanceUID, one.PixelData = "1.2.3", b"00"
        one.ImagePositionPatient = decimals((1, 2, 3))
        read(save(one, tmp_path / "one.dcm"))
