"""What of a source's header goes into a derived series. Whatever is not named here does not.

A value that breaks its own VR, or is no defined term where there are such, is dropped: a derived object has to be
valid even where its source is not.
"""

from __future__ import annotations

from typing import Any

from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat, format_number_as_ds, validate_value

from medsr.io.dicom.uids import derived_uid, is_uid
from medsr.io.dicom.values import number, text, texts

IDENTIFYING = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize", "PatientWeight",
    "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
    "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime",
)  # fmt: skip
"""Carried on, unless the result is to be de-identified."""

REQUIRED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Type 2 in every image: there, and empty where nothing is known."""

NUMBERS = (
    "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "MagneticFieldStrength", "NumberOfAverages",
    "EchoTrainLength", "ImagingFrequency",
)  # fmt: skip

TERMS: dict[str, frozenset[str]] = {
    "ScanningSequence": frozenset(("SE", "IR", "GR", "EP", "RM")),
    "SequenceVariant": frozenset(("SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "NONE")),
    "ScanOptions": frozenset(("PER", "RG", "CG", "PPG", "FC", "PFF", "PFP", "SP", "FS")),
    "MRAcquisitionType": frozenset(("2D", "3D")),
    "ImagedNucleus": frozenset(("1H",)),
    "BodyPartExamined": frozenset(
        ("ABDOMEN", "BRAIN", "BREAST", "CHEST", "CSPINE", "HEAD", "HEART", "HIP", "KNEE", "LSPINE", "NECK",
         "PELVIS", "PROSTATE", "SHOULDER", "SPINE", "TSPINE")
    ),
    "PatientPosition": frozenset(("HFP", "HFS", "HFDR", "HFDL", "FFDR", "FFDL", "FFP", "FFS")),
    "LossyImageCompression": frozenset(("00", "01")),
    "ApplicableSafetyStandardAgency": frozenset(("IEC", "FDA", "MHLW")),
}  # fmt: skip

_MAKERS = (
    "SIEMENS",
    "GE",
    "PHILIPS",
    "CANON",
    "TOSHIBA",
    "HITACHI",
    "FUJI",
    "UIH",
    "BRUKER",
    "ESAOTE",
    "HYPERFINE",
)

UIDS = ("StudyInstanceUID", "FrameOfReferenceUID")

KEYWORDS: tuple[str, ...] = (
    *IDENTIFYING, *NUMBERS, *TERMS, *UIDS, "SeriesInstanceUID", "SeriesDescription", "SeriesNumber",
    "Manufacturer", "ManufacturerModelName", "SharedFunctionalGroupsSequence",
)  # fmt: skip


def carried(source: Any, *, deidentify: bool) -> Dataset:
    """The attributes of `source` that a derived image of it carries on, text in UTF-8."""
    kept = Dataset()
    kept.SpecificCharacterSet = "ISO_IR 192"
    for keyword in IDENTIFYING:
        value = None if deidentify else _valid(keyword, text(source, keyword))
        if value is not None or keyword in REQUIRED:
            setattr(kept, keyword, value or "")
    for keyword in NUMBERS:
        found = number(source, keyword)
        if found is not None and found >= 0:
            setattr(kept, keyword, int(found) if dictionary_VR(keyword) == "IS" else ds(found))
    for keyword, terms in TERMS.items():
        said = [term for term in texts(source, keyword) if term in terms]
        if said:
            setattr(kept, keyword, said if len(said) > 1 else said[0])
    _inversion(kept)
    for keyword in UIDS:
        name = text(source, keyword)
        known = name if is_uid(name) else derived_uid(keyword, name or text(source, "SeriesInstanceUID"))
        setattr(kept, keyword, derived_uid("de-identified", known) if deidentify else known)
    if deidentify:
        kept.PatientName = "ANONYMOUS^"
        kept.PatientID = f"ANON-{derived_uid('patient', kept.StudyInstanceUID)[-12:]}"
        kept.PatientIdentityRemoved = "YES"
        kept.DeidentificationMethod = "medsr: attributes by allow-list, UIDs hashed, dates removed"
    return kept


def _inversion(kept: Dataset) -> None:
    """An inversion time belongs to inversion recovery alone (type 2C); GE writes it always."""
    if "IR" in kept.get("ScanningSequence", ""):
        kept.setdefault("InversionTime", None)
    elif "InversionTime" in kept:
        del kept.InversionTime


def words(source: Any, keyword: str, limit: int) -> str:
    """A description, cut to `limit` characters; "" where it is absent or not valid."""
    return _valid(keyword, text(source, keyword)[:limit].strip()) or ""


def ds(value: float) -> DSfloat:
    """A number as a decimal string of at most 16 characters."""
    return DSfloat(format_number_as_ds(float(value)))


def maker(source: Any) -> str:
    """The scanner's manufacturer by a name that is safe to show; "" for one that is not known."""
    said = text(source, "Manufacturer").upper()
    return next((name for name in _MAKERS if said.startswith(name)), "")


def _valid(keyword: str, value: str) -> str | None:
    if keyword == "PatientSex" and value not in ("M", "F", "O"):
        return None
    vr = dictionary_VR(keyword)
    if not value or any(not c.isprintable() for c in value) or ("\\" in value and vr in ("LO", "SH", "PN")):
        return None
    try:
        validate_value(vr, value, config.RAISE)
    except ValueError:
        return None
    return value
