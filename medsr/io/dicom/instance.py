"""What one DICOM file says of itself, for all the slices in it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydicom import uid

from medsr.errors import InputError
from medsr.io.dicom.header import PixelPlace, read_header
from medsr.io.dicom.quiet import quiet
from medsr.io.dicom.uids import derived_uid, is_uid
from medsr.io.dicom.values import item, items, number, text, texts, whole

CLASSIC = {uid.MRImageStorage, uid.CTImageStorage, uid.PositronEmissionTomographyImageStorage}
ENHANCED = {
    uid.EnhancedMRImageStorage,
    uid.EnhancedCTImageStorage,
    uid.EnhancedPETImageStorage,
    uid.LegacyConvertedEnhancedMRImageStorage,
    uid.LegacyConvertedEnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedPETImageStorage,
}
GE_COMPLEX = 0x0043102F
_MODALITIES = frozenset(("CR", "CT", "DX", "KO", "MG", "MR", "NM", "OT", "PR", "PT", "REG", "RF", "RTDOSE",
                         "RTPLAN", "RTSTRUCT", "SC", "SEG", "SR", "US", "XA"))  # fmt: skip
_KINDS: dict[str, Literal["2D", "3D"]] = {"2D": "2D", "3D": "3D"}
LOCALISER = re.compile(r"locali[sz]er|scout|survey|aahead|3[- ]?plane", re.IGNORECASE)

KEYWORDS: tuple[str | int, ...] = (
    "ImageType", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "Manufacturer",
    "SeriesDescription", "SeriesNumber", "InstanceNumber", "AcquisitionNumber", "PatientID", "PatientName",
    "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "TriggerTime", "TemporalPositionIdentifier",
    "EchoTime", "RepetitionTime", "MRAcquisitionType", "SliceThickness", "SpacingBetweenSlices",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames",
    "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", GE_COMPLEX,
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


@dataclass(frozen=True)
class Instance:
    """One file. `patient` tells patients apart without naming them; `description` stays out of errors and logs."""

    path: Path
    sop_class: str
    uid: str
    series: str
    patient: str = field(repr=False)
    number: int | None
    modality: str
    description: str = field(repr=False)
    image_type: tuple[str, ...] = field(repr=False)
    localiser: bool
    ours: bool
    pixels: PixelPlace = field(repr=False)
    rows: int
    columns: int
    count: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    tr: float | None
    te: float | None
    acquisition_type: Literal["2D", "3D"] | None


def read_instance(path: Path) -> tuple[Instance, Any]:
    """The attributes of one file that hold for all its frames, and the data set they came from.

    Raises
    ------
    InputError
        if the file is not DICOM or its header is broken.
    """
    header = read_header(path, KEYWORDS)
    data = header.data
    with quiet():
        groups = [item(data, f"{kind}FunctionalGroupsSequence") for kind in ("Shared", "PerFrame")]
        timings = [item(group, "MRTimingAndRelatedParametersSequence") for group in groups]
        kind = texts(data, "ImageType")
        description = text(data, "SeriesDescription")
        stored = whole(data, "BitsStored") or 0
        high = whole(data, "HighBit")
        instance = Instance(
            path=path,
            sop_class=_clean_uid(data, "SOPClassUID"),
            uid=_clean_uid(data, "SOPInstanceUID"),
            series=_clean_uid(data, "SeriesInstanceUID"),
            patient=hashlib.sha256((text(data, "PatientID") or text(data, "PatientName")).encode()).hexdigest(),
            number=whole(data, "SeriesNumber"),
            modality=text(data, "Modality") if text(data, "Modality") in _MODALITIES else "",
            description=description,
            image_type=kind,
            localiser="LOCALIZER" in kind or bool(LOCALISER.search(description)),
            ours=text(data, "Manufacturer") == "medsr",
            pixels=header.pixels,
            rows=whole(data, "Rows") or 0,
            columns=whole(data, "Columns") or 0,
            count=whole(data, "NumberOfFrames") or 1,
            bits_allocated=whole(data, "BitsAllocated") or 0,
            bits_stored=stored,
            high_bit=stored - 1 if high is None else high,
            signed=whole(data, "PixelRepresentation") == 1,
            tr=seconds(next(filter(None, (number(place, "RepetitionTime") for place in (data, *timings))), None)),
            te=seconds(number(data, "EchoTime")),
            acquisition_type=_KINDS.get(text(data, "MRAcquisitionType")),
        )
    return instance, data


def left_aside(instance: Instance, data: Any) -> str | None:
    """Why an object is no image that medsr reads, in a few words; None for one that it does."""
    with quiet():
        samples, photometric = whole(data, "SamplesPerPixel"), text(data, "PhotometricInterpretation")
        if instance.sop_class not in CLASSIC | ENHANCED:
            name = (
                uid.UID(instance.sop_class).name
                if instance.sop_class in uid.UID_dictionary
                else "an unknown object"
            )
            return f"{name}, not a slice image"
        if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
            return "a colour image" if (samples or 0) > 1 else "not a greyscale image"
        if instance.pixels.tag is None:
            return "no pixel data"
    return None


def check_pixels(instance: Instance, data: Any) -> None:
    """Whether the pixels are integers of a size that medsr reads.

    Raises
    ------
    InputError
        if they are not.
    """
    name = instance.path.name
    if instance.pixels.tag != 0x7FE00010:
        raise InputError(f"{name} holds floating-point pixels", rule="medsr reads integer pixel data from DICOM")
    if not (0 < instance.rows <= 65535 and 0 < instance.columns <= 65535 and 0 < instance.count < 1 << 31):
        raise InputError(
            f"{name} has no image size", got=f"{instance.rows} x {instance.columns} x {instance.count}"
        )
    if instance.bits_allocated not in (8, 16, 32):
        raise InputError(
            f"{name} has an odd pixel size", got=f"{instance.bits_allocated} bits", rule="8, 16 or 32 bits"
        )
    low = instance.high_bit + 1 - instance.bits_stored
    if not (
        1 <= instance.bits_stored <= instance.bits_allocated
        and low >= 0
        and instance.high_bit < instance.bits_allocated
    ):
        raise InputError(
            f"{name} has impossible bits",
            got=f"{instance.bits_stored} stored of {instance.bits_allocated}, high bit {instance.high_bit}",
        )
    if items(data, "ModalityLUTSequence"):
        raise InputError(
            f"{name} has a modality look-up table", rule="medsr reads values with a slope and an intercept"
        )


def _clean_uid(data: Any, keyword: str) -> str:
    """A UID that is one; of anything else a hash, because it may be shown. "" where there is none."""
    value = text(data, keyword)
    return value if is_uid(value) or not value else derived_uid(keyword, value)


def seconds(milliseconds: float | None) -> float | None:
    """A time in s, None where it is missing or not positive."""
    return milliseconds / 1000 if milliseconds and milliseconds > 0 else None
