"""A marker in every identifying attribute comes out nowhere: no message, no log, no de-identified file."""

from __future__ import annotations

import logging
import traceback
import warnings

import numpy as np
import pydicom
import pytest
from pydicom import config
from pydicom.datadict import dictionary_keyword, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedMRImageStorage

from medsr.errors import MedsrError
from medsr.io.dicom import Derivation, choose_series, list_series, read, read_series, write_series
from tests.io.dicom.synthetic import GEOMETRIES, numbers, write_classic, write_enhanced

MARK = "ZQMARKZQ"
TEXT = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "DA", "DT", "TM", "AS", "UI", "IS", "DS")
NEEDED = {
    "SpecificCharacterSet", "SOPClassUID", "PhotometricInterpretation", "ImageType", "Modality", "NumberOfFrames",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept",
    "SliceThickness", "SpacingBetweenSlices", "SeriesNumber", "InstanceNumber", "SOPInstanceUID", "EchoTime",
    "SeriesInstanceUID", "ComplexImageComponent", "AcquisitionNumber",
}  # fmt: skip


def _text_tags() -> list[int]:
    from pydicom._dicom_dict import DicomDictionary

    groups = {0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x0032, 0x0038, 0x0040, 0x0054, 0x4008, 0x0088}
    return [
        tag
        for tag, (vr, _, _, retired, keyword) in DicomDictionary.items()
        if tag >> 16 in groups and vr in TEXT and keyword not in NEEDED and tag & 0xFFFF
    ]


def mark(one: Dataset, *_: int) -> None:
    """Put the marker into every text attribute, into private ones, and into sequences within sequences."""
    with config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tag in _text_tags():
            vr = dictionary_VR(tag)
            if vr in ("IS", "DS"):
                continue
            one.add_new(tag, vr, f"1.2.{MARK}" if vr == "UI" else MARK)
        one.PatientID = one.PatientName = one.SeriesDescription = f"{MARK}^{MARK}"
        one.private_block(0x0009, MARK, create=True).add_new(1, "LO", MARK)
        one.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", MARK.encode())
        inner, outer = Dataset(), Dataset()
        inner.PatientName, inner.CodeMeaning, inner.TextValue = MARK, MARK, MARK
        inner.private_block(0x0009, MARK, create=True).add_new(1, "LO", MARK)
        outer.ReferencedStudySequence, outer.InstitutionName = [inner], MARK
        one.RequestAttributesSequence = one.ReferencedStudySequence = one.SourceImageSequence = [outer]
        one.OriginalAttributesSequence = [outer]


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "source"
    with config.disable_value_validation():
        write_classic(folder, numbers(8, 6, 4), GEOMETRIES["oblique"], edit=mark)
    assert all(path.read_bytes().count(MARK.encode()) > 300 for path in folder.iterdir())
    return folder


@pytest.fixture(autouse=True)
def nothing_leaks(caplog, capfd):
    """Whatever a test does, no log line and no output has the marker; warnings are errors already."""
    caplog.set_level(logging.DEBUG)
    config.debug(False)
    yield
    assert MARK not in caplog.text
    out, err = capfd.readouterr()
    assert MARK not in out + err


def said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_reading_says_nothing(study):
    (info,) = list_series(study)
    assert MARK in info.description
    volume = read_series(info)
    words = (
        repr(info) + info.describe() + info.selector + repr(info.reason) + repr(volume.facts) + repr(volume.notes)
    )
    assert MARK not in words
    assert MARK not in repr(info.stack)


def decimal(one: Dataset, tag: int) -> None:
    """A decimal string that is none, as a broken writer leaves it."""
    one[tag] = RawDataElement(Tag(tag), "DS", len(MARK), MARK.encode(), 0, False, True)


BREAKS = {
    "position": lambda one: one.__delitem__("ImagePositionPatient"),
    "moved": lambda one: setattr(one, "ImagePositionPatient", ["1", "2", "90"]),
    "turned": lambda one: setattr(one, "ImageOrientationPatient", ["1", "0", "0", "0", "0", "1"]),
    "text for numbers": lambda one: decimal(one, 0x00200032),
    "text for spacing": lambda one: one.add_new(0x00280030, "LO", MARK),
    "text for a slope": lambda one: decimal(one, 0x00281053),
    "text for rows": lambda one: one.add_new(0x00280010, "LO", MARK),
    "another patient": lambda one: setattr(one, "PatientID", MARK + "2"),
    "another class": lambda one: one.add_new(0x00080016, "UI", f"1.2.{MARK}"),
    "another modality": lambda one: one.add_new(0x00080060, "CS", MARK),
    "series UID": lambda one: one.add_new(0x0020000E, "UI", MARK),
    "no pixels": lambda one: one.__delitem__("PixelData"),
    "fewer pixels": lambda one: setattr(one, "PixelData", one.PixelData[:-8]),
    "series number": lambda one: one.add_new(0x00200011, "LO", MARK),
}


@pytest.mark.parametrize("name", BREAKS)
@pytest.mark.parametrize("which", ["one", "all"])
def test_errors_name_nobody(tmp_path, name, which):
    def edit(one, time, place):
        mark(one)
        if which == "all" or place == 1:
            BREAKS[name](one)

    with config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_classic(tmp_path, numbers(8, 6, 4), GEOMETRIES["oblique"], edit=edit)
    words = "".join(info.describe() for info in list_series(tmp_path))
    for selector in (None, "1", "nothing"):
        try:
            read(tmp_path, selector)
        except MedsrError as error:
            words += said(error)
    assert MARK not in words


def test_bytes_that_break_the_parser_name_nobody(study):
    """The marker's own elements with wrong lengths and VRs."""
    path = sorted(study.iterdir())[0]
    data = path.read_bytes()
    random = np.random.default_rng(0)
    words = ""
    for _ in range(60):
        at = data.index(MARK.encode(), random.integers(400, len(data) - 9000)) - int(random.integers(1, 9))
        path.write_bytes(data[:at] + bytes([random.integers(256)]) + data[at + 1 :])
        try:
            read(study)
        except MedsrError as error:
            words += said(error)
    assert MARK not in words


@pytest.mark.parametrize("enhanced", [False, True])
def test_deidentified_output(study, tmp_path, enhanced):
    info = choose_series(list_series(study))
    volume = read_series(info)
    made = Derivation("test", {"input": str(study)})
    for target in ("plain", "private"):
        write_series(
            tmp_path / target,
            volume,
            made,
            source=info,
            uncertainty=volume,
            enhanced=enhanced,
            deidentify=target == "private",
        )
    for path in (tmp_path / "private").iterdir():
        data = path.read_bytes()
        assert MARK.encode() not in data
        for uid in ("1.2.826.1.5", "1.2.826.1.6", "1.2.826.1.7", "1.2.826.1.8"):
            assert uid.encode() not in data
        one = pydicom.dcmread(path)
        assert one.PatientIdentityRemoved == "YES"
        assert not one.StudyDate
        assert "PatientAge" not in one


def test_identified_output_carries_the_allow_list_alone(study, tmp_path):
    info = choose_series(list_series(study))
    written = write_series(tmp_path / "out", read_series(info), Derivation("test"), source=info)
    one = pydicom.dcmread(written.files[0])
    with_mark = {e.keyword for e in one.iterall() if MARK in str(e.value) and e.VR != "SQ"}
    assert with_mark <= {
        "PatientName", "PatientID", "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
        "SeriesDescription", "Manufacturer", "ManufacturerModelName",
    }  # fmt: skip
    assert not [e for e in one.iterall() if e.tag.is_private]
    assert all(dictionary_keyword(e.tag) for e in one.iterall())


def test_enhanced_source(tmp_path):
    with config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_enhanced(tmp_path / "a.dcm", numbers(5, 4, 6), GEOMETRIES["oblique"], edit=mark)
    (info,) = list_series(tmp_path)
    assert info.files[0].read_bytes().count(MARK.encode()) > 300
    written = write_series(tmp_path / "o", read_series(info), Derivation("test"), source=info, deidentify=True)
    assert all(MARK.encode() not in path.read_bytes() for path in written.files)
    assert pydicom.dcmread(info.files[0]).SOPClassUID == EnhancedMRImageStorage
