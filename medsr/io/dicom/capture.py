"""A picture, such as a page of the report, as a Secondary Capture in the study of the result."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from medsr._version import VERSION
from medsr.errors import OutputError
from medsr.io.atomic import Transaction, check_target
from medsr.io.dicom.allowlist import IDENTIFYING
from medsr.io.dicom.derived import MANUFACTURER, describe, save
from medsr.io.dicom.quiet import quiet
from medsr.io.dicom.series import SeriesInfo
from medsr.io.dicom.source import read_source
from medsr.io.dicom.uids import derived_uid

SERIES_OFFSET = 9900
_CARRIED = (
    *(keyword for keyword in IDENTIFYING if not keyword.startswith(("Acquisition", "Content"))),
    "SpecificCharacterSet",
    "StudyInstanceUID",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
)


def write_capture(
    file: str | Path,
    picture: NDArray[np.uint8],
    title: str,
    *,
    source: SeriesInfo | None = None,
    deidentify: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write an RGB picture, (rows, columns, 3) of 8 bits, as a series of its own in the study of `source`.

    The same source, title and picture give the same bytes. It is marked as holding burned-in annotation, because
    medsr cannot know what is written in a picture.

    Raises
    ------
    OutputError
        if the file is there already, cannot be written, or the picture is not RGB.
    InputError
        if the source cannot be read again.
    """
    target = Path(file)
    check_target(target, force=overwrite)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or max(picture.shape) > 65535:
        raise OutputError("not a picture", got=f"{picture.shape} {picture.dtype}", rule="(rows, columns, 3) bytes")
    known = read_source(source, deidentify=deidentify)
    image = Dataset()
    image.update({element.tag: element for element in known.carried if element.keyword in _CARRIED})
    pixels = np.ascontiguousarray(picture).tobytes()
    identity = (
        known.series_uid,
        image.StudyInstanceUID,
        title,
        repr(picture.shape),
        hashlib.sha256(pixels).digest(),
    )
    with quiet():
        image.SOPClassUID, image.SOPInstanceUID = SecondaryCaptureImageStorage, derived_uid("capture", *identity)
        image.SeriesInstanceUID = derived_uid("captures", *identity)
        image.SeriesNumber, image.InstanceNumber = SERIES_OFFSET + (known.series_number or 0), 1
        image.SeriesDescription = describe(title)
        image.Modality, image.ConversionType = "OT", "WSD"
        image.Manufacturer = image.ManufacturerModelName = MANUFACTURER
        image.SoftwareVersions = VERSION
        image.Laterality = image.PatientOrientation = ""
        image.ImageType = ["DERIVED", "SECONDARY"]
        image.BurnedInAnnotation = "YES"
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
        image.Rows, image.Columns = picture.shape[:2]
        image.BitsAllocated = image.BitsStored = 8
        image.HighBit, image.PixelRepresentation = 7, 0
        image.PixelData = pixels + b"\0" * (len(pixels) % 2)
        with Transaction(force=overwrite) as transaction:
            save(image, transaction.path(target))
    return target
