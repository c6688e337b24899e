"""The technical part of a source gives the same volume and names nobody; a result made of it can be completed."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import config
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from medsr.errors import InputError
from medsr.io.dicom import Derivation, choose_series, list_series, read_series, write_capture, write_series
from medsr.io.dicom.technical import Clock, first_reference, restored, technical
from tests.io.dicom.synthetic import GEOMETRIES, numbers, write_classic, write_enhanced, write_mosaic
from tests.io.dicom.test_privacy import MARK, mark

DATA = Path(os.environ.get("MEDSR_DATA", "/nowhere"))


def stripped(folder: Path, target: Path) -> Path:
    target.mkdir()
    clock = Clock()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            data = technical(path.read_bytes(), clock)
        except InputError:
            continue  # a file that is no DICOM
        (target / f"{path.name}.dcm").write_bytes(data)
    return target


def same(one: Path, other: Path) -> None:
    """Every series of both folders: the same facts, the same voxels at the same place."""
    ours, theirs = list_series(one), list_series(other)
    assert [info.uid for info in ours] == [info.uid for info in theirs]
    assert ours
    for mine, their in zip(ours, theirs, strict=True):
        assert (mine.number, mine.part, mine.modality, mine.count, mine.times, mine.thickness, mine.localiser) == (
            their.number, their.part, their.modality, their.count, their.times, their.thickness, their.localiser
        )  # fmt: skip
        assert (mine.problem is None) == (their.problem is None)
        if mine.problem is None:
            a, b = read_series(mine), read_series(their)
            assert np.array_equal(a.grid.affine, b.grid.affine)
            assert np.array_equal(a.data, b.data)
            assert (a.facts, a.notes) == (b.facts, b.notes)


def nameless(folder: Path) -> None:
    for path in folder.iterdir():
        data = path.read_bytes()
        for word in (MARK, "Doe", "Jane", "19700101", "20240102"):
            assert word.encode() not in data, word


def dated(one, time, place):
    """As scanners do, across midnight."""
    mark(one)
    del one.AcquisitionDateTime
    one.AcquisitionDate, one.AcquisitionTime = ("20240102", "235958.5") if time == 0 else ("20240103", "000000.5")


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_classic(tmp_path, geometry):
    with config.disable_value_validation():
        write_classic(tmp_path / "a", numbers(8, 6, 4), GEOMETRIES[geometry], edit=mark)
        same(tmp_path / "a", stripped(tmp_path / "a", tmp_path / "b"))
    nameless(tmp_path / "b")


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian],
)
def test_syntaxes_and_times(tmp_path, syntax):
    with config.disable_value_validation():
        write_classic(tmp_path / "a", numbers(2, 8, 6, 4), GEOMETRIES["oblique"], syntax=syntax, edit=dated)
        same(tmp_path / "a", stripped(tmp_path / "a", tmp_path / "b"))
    nameless(tmp_path / "b")
    assert read_series(list_series(tmp_path / "b")[0]).facts.tr == pytest.approx(2.0)


def test_compressed(tmp_path):
    for path in write_classic(tmp_path / "a", numbers(8, 6, 4), GEOMETRIES["oblique"]):
        one = pydicom.dcmread(path)
        one.compress(RLELossless, generate_instance_uid=False)
        one.save_as(path)
    same(tmp_path / "a", stripped(tmp_path / "a", tmp_path / "b"))


def test_enhanced(tmp_path):
    with config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_enhanced(tmp_path / "a" / "a.dcm", numbers(2, 5, 4, 6), GEOMETRIES["oblique"], edit=mark)
    same(tmp_path / "a", stripped(tmp_path / "a", tmp_path / "b"))
    nameless(tmp_path / "b")


@pytest.mark.parametrize(
    "told", [{}, {"normal": False, "protocol": True}, {"protocol": True, "reverse_protocol": True}]
)
def test_mosaic(tmp_path, told):
    write_mosaic(tmp_path / "a", numbers(3, 8, 8, 6), GEOMETRIES["oblique"], **told)
    same(tmp_path / "a", stripped(tmp_path / "a", tmp_path / "b"))
    nameless(tmp_path / "b")


@pytest.mark.parametrize("kind", ["phase", "echoes", "localiser", "look-up table", "ge phase", "colour"])
def test_what_is_refused_stays_refused(tmp_path, kind):
    def edit(one, time, place):
        if kind == "phase":
            one.ImageType = ["ORIGINAL", "PRIMARY", "P", "SECRET"]
        elif kind == "echoes":
            one.EchoTime = "12" if time else "80"
        elif kind == "localiser":
            one.SeriesDescription = "AAHead_Scout of Jane"
        elif kind == "look-up table":
            table = pydicom.Dataset()
            table.LUTDescriptor, table.ModalityLUTType, table.LUTData = [2, 0, 16], "US", b"\0\0\1\0"
            one.ModalityLUTSequence = [table]
        elif kind == "ge phase":
            one.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", 1)
        else:
            one.PhotometricInterpretation = "YBR_FULL"

    write_classic(tmp_path / "a", numbers(2, 8, 6, 4), GEOMETRIES["oblique"], edit=edit)
    same(tmp_path / "a", stripped(tmp_path / "a", tmp_path / "b"))
    nameless(tmp_path / "b")


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "position"])
def test_broken_objects(tmp_path, damage):
    def edit(one, time, place):
        if damage == "position":
            text = f"1\\{MARK}\\2".encode()
            one[0x00200032] = RawDataElement(Tag(0x00200032), "DS", len(text), text, 0, False, True)

    path = write_classic(tmp_path, numbers(8, 6, 4), GEOMETRIES["oblique"], edit=edit)[0]
    data = {"empty": b"", "text": MARK.encode() * 99}.get(damage, path.read_bytes())
    with pytest.raises(InputError) as error:
        technical(data[:300] if damage == "cut" else data, Clock())
    assert MARK not in str(error.value)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("source_enhanced", [False, True])
def test_a_result_is_completed(tmp_path, times, enhanced, source_enhanced):
    """The same files as from the original itself, name and study included."""

    def edit(one, *when):
        one.StudyDescription, one.PatientAge, one.AccessionNumber = "a study", "054Y", "A1"
        one.ManufacturerModelName, one.SpecificCharacterSet, one.PatientName = "Model", "ISO_IR 192", "Dœ^Jane"
        one.ContentDate = "20240102"
        if when:
            one.AcquisitionDate, one.AcquisitionTime = "20240102", f"1011{when[0]:02d}"

    codes = numbers(times, 5, 4, 6)
    if source_enhanced:
        write_enhanced(tmp_path / "a" / "a.dcm", codes, GEOMETRIES["oblique"], edit=edit)
    else:
        write_classic(tmp_path / "a", codes, GEOMETRIES["oblique"], edit=edit)
    stripped(tmp_path / "a", tmp_path / "b")
    made = Derivation("test", {"spacing": 1})
    for folder in ("a", "b"):
        info = choose_series(list_series(tmp_path / folder))
        volume = read_series(info)
        write_series(tmp_path / f"out-{folder}", volume, made, source=info, uncertainty=volume, enhanced=enhanced)
        write_capture(tmp_path / f"out-{folder}" / "CAP.dcm", np.zeros((4, 5, 3), np.uint8), "Report", source=info)
    originals = {
        str(pydicom.dcmread(path).SOPInstanceUID): path.read_bytes() for path in (tmp_path / "a").iterdir()
    }
    results = sorted((tmp_path / "out-b").iterdir())
    nameless(tmp_path / "out-b")
    header = originals[first_reference(next(p for p in results if p.name != "CAP.dcm").read_bytes())]
    for path in results:
        assert restored(path.read_bytes(), header) == (tmp_path / "out-a" / path.name).read_bytes(), path.name


def test_a_result_of_another_study_is_refused(tmp_path):
    path = write_classic(tmp_path / "a", numbers(8, 6, 4), GEOMETRIES["oblique"])[0]
    info = choose_series(list_series(tmp_path / "a"))
    written = write_series(tmp_path / "out", read_series(info), Derivation("test"), source=info)
    one = pydicom.dcmread(path)
    one.StudyInstanceUID = "1.2.3"
    one.save_as(path)
    with pytest.raises(InputError, match="another study"):
        restored(written.files[0].read_bytes(), path.read_bytes())


@pytest.mark.data
@pytest.mark.parametrize(
    "folder",
    [
        "dicom/SAG-anon_skyra_mprage",
        "fmri4d/rt-cloud_siemens_mosaic",
        "dicom/dicom2nifti_headers/siemens/fmri/001",
        "dicom/dicom2nifti_headers/siemens/anatomical/001",
        "dicom/dicom2nifti_headers/siemens_multiframe/anatomical/001",
        "dicom/dicom2nifti_headers/ge/anatomical/001",
        "dicom/dicom2nifti_headers/philips/anatomical/001",
    ],
)
def test_real_series(tmp_path, folder):
    same(DATA / folder, stripped(DATA / folder, tmp_path / "b"))
