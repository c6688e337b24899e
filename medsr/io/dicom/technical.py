"""The technical part of a DICOM object: what it takes to reconstruct it, and nothing that says whose it is.

A queue on a disk should hold no name. So the worker of a PACS keeps this part of a source alone, and puts the
patient and the study into the result when it sends it (`restored`), from the source on the server. UIDs are kept,
because a result refers to its source by them; what is seen in the pixels is not touched.
"""

from __future__ import annotations

import io
import re
from typing import Any

from pydicom import dcmread, uid
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset

from medsr.errors import InputError
from medsr.io.dicom.allowlist import IDENTIFYING, NUMBERS, REQUIRED, TERMS, carried, maker, words
from medsr.io.dicom.csa import minimal_csa
from medsr.io.dicom.derived import IMPLEMENTATION, MANUFACTURER, describe, equipment
from medsr.io.dicom.frames import PARTS
from medsr.io.dicom.header import inflated, transfer_syntax
from medsr.io.dicom.instance import GE_COMPLEX, LOCALISER
from medsr.io.dicom.mosaic import BLOCKS, COUNT
from medsr.io.dicom.quiet import quiet
from medsr.io.dicom.uids import derived_uid, is_uid
from medsr.io.dicom.values import as_number, item, items, moment, numbers, private, text, texts

_UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
_WORDS: dict[str, frozenset[str]] = {
    **TERMS,
    "Modality": frozenset(("MR", "CT", "PT")),
    "ImageType": frozenset(("ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "MOSAIC", "LOCALIZER", *PARTS)),
    "FrameType": frozenset(("ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "MIXED", *PARTS)),
    "ComplexImageComponent": frozenset(PARTS),
    "PhotometricInterpretation": frozenset(("MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL")),
}
_POSITIONAL = frozenset(("ImageType", "FrameType"))
"""Of whose values the place counts: a word that is not known becomes OTHER."""
_COUNTS = {
    "ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2, "RescaleSlope": 1,
    "RescaleIntercept": 1, "SliceThickness": 1, "SpacingBetweenSlices": 1,
}  # fmt: skip
_NUMBERS = (
    *NUMBERS, *_COUNTS, "EffectiveEchoTime", "SeriesNumber", "InstanceNumber", "AcquisitionNumber", "TriggerTime",
    "TemporalPositionIdentifier", "TemporalPositionIndex", "FrameAcquisitionNumber", "Rows", "Columns",
    "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "NominalCardiacTriggerDelayTime",
)  # fmt: skip
_GROUPS = (
    "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence", "FrameContentSequence",
    "PixelValueTransformationSequence", "MRTimingAndRelatedParametersSequence", "MREchoSequence",
    "MRImageFrameTypeSequence", "CardiacSynchronizationSequence",
)  # fmt: skip
_FUNCTIONAL = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_TIMES = ("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "FrameAcquisitionDateTime")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_READ = (
    *_UIDS, *_WORDS, *_NUMBERS, *_FUNCTIONAL, *_TIMES, *_PIXELS, "Manufacturer", "SeriesDescription",
    "ModalityLUTSequence",
)  # fmt: skip
_PRIVATE = (GE_COMPLEX, COUNT, *BLOCKS)
_OF_THE_STUDY = (*REQUIRED, "PatientAge", "PatientSize", "PatientWeight", "StudyDescription")
_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_NOON = 12 * 3600.0
_DAY = 86400.0


class Clock:
    """Turns the times of a series into times since its first object, so that no date is kept.

    The first object was acquired at noon of the first of January 1900.
    """

    def __init__(self) -> None:
        self._origin: float | None = None

    def relative(self, seconds: float) -> tuple[str, str]:
        """Date and time, as DA and TM have them."""
        if self._origin is None:
            self._origin = seconds - _NOON
        day, rest = divmod(seconds - self._origin, _DAY)
        number = min(max(int(day) + 1, 1), 28)
        hours, rest = divmod(rest, 3600)
        minutes, rest = divmod(rest, 60)
        return f"190001{number:02d}", f"{int(hours):02d}{int(minutes):02d}{rest:09.6f}"


def technical(data: bytes, clock: Clock) -> bytes:
    """The technical part of the object in `data`, a DICOM file, as a DICOM file.

    `medsr` reads the same volume from it as from the original. Numbers, known words and UIDs are kept; whatever
    else an attribute holds is left out, whatever it claims to be.

    clock : one for a series.

    Raises
    ------
    InputError
        if it is no DICOM file or broken; no value of it is quoted.
    """
    try:
        with quiet():
            return _written(*_kept(data, clock))
    except InputError:
        raise
    except Exception:
        raise InputError("an object of the series is broken", hint="send the series again") from None


def _kept(data: bytes, clock: Clock) -> tuple[Dataset, str]:
    syntax, start = transfer_syntax(io.BytesIO(data))
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        inflated(io.BytesIO(data), start)  # refuses what is larger than images are
    tags: list[Any] = [*map(tag_for_keyword, _READ), *_PRIVATE]
    source = dcmread(io.BytesIO(data), force=True, specific_tags=tags)
    kept = _plain(source)
    for keyword in _UIDS:
        value = text(source, keyword)
        if value:
            setattr(kept, keyword, value if is_uid(value) else derived_uid(keyword, value))
    made_by = MANUFACTURER if text(source, "Manufacturer") == MANUFACTURER else maker(source)
    if made_by:
        kept.Manufacturer = made_by
    if LOCALISER.search(text(source, "SeriesDescription")):
        kept.SeriesDescription = "localizer"
    when = moment(source, "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime")
    if when is not None:
        kept.AcquisitionDate, kept.AcquisitionTime = clock.relative(when)
    if items(source, "ModalityLUTSequence"):
        kept.ModalityLUTSequence = [Dataset()]
    for sequence in _FUNCTIONAL:
        groups = items(source, sequence)
        if groups:
            setattr(kept, sequence, [_group(group, clock) for group in groups])
    _keep_private(source, kept)
    for keyword in _PIXELS:
        if keyword in source:
            kept[keyword] = source[keyword]
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        syntax = str(uid.ExplicitVRLittleEndian)
    return kept, syntax


def _plain(source: Any) -> Dataset:
    """Numbers and known words of one level of a data set."""
    kept = Dataset()
    for keyword in _NUMBERS:
        values = _numbers(source, keyword)
        if values:
            kept.add_new(keyword, dictionary_VR(keyword), values if len(values) > 1 else values[0])
    for keyword, known in _WORDS.items():
        said = texts(source, keyword)
        if keyword in _POSITIONAL:
            said = tuple(word if word in known else "OTHER" for word in said)
        found = [word for word in said if word in known or keyword in _POSITIONAL]
        if found:
            setattr(kept, keyword, found if len(found) > 1 else found[0])
    return kept


def _numbers(source: Any, keyword: str) -> list[Any]:
    """The values of a numeric attribute as they are; none where they are no numbers."""
    vr = dictionary_VR(keyword)
    if vr in ("DS", "IS"):
        said = texts(source, keyword)
        return list(said) if all(_DECIMAL.fullmatch(word) for word in said) else _broken(keyword)
    found = numbers(source, keyword, _COUNTS.get(keyword, 1))
    return [] if found is None else [v if vr in ("FD", "FL") else int(v) for v in found]


def _broken(keyword: str) -> list[Any]:
    """What keeps a reader from taking a broken attribute for a missing one."""
    if keyword in _COUNTS:
        raise InputError(f"an object of the series has a broken {keyword}", hint="send the series again")
    return []


def _group(source: Any, clock: Clock) -> Dataset:
    """The functional groups of one frame."""
    kept = Dataset()
    for sequence in _GROUPS:
        inner = items(source, sequence)[:1]
        if not inner:
            continue
        one = _plain(inner[0])
        when = moment(inner[0], "", "", "FrameAcquisitionDateTime")
        if when is not None:
            one.FrameAcquisitionDateTime = "".join(clock.relative(when))
        setattr(kept, sequence, [one])
    return kept


def _keep_private(source: Any, kept: Dataset) -> None:
    """The vendors' elements that medsr reads, as far as it reads them."""
    for tag, vr, creator in ((GE_COMPLEX, "SS", "GEMS_PARM_01"), (COUNT, "US", "SIEMENS MR HEADER")):
        value = as_number(private(source, tag))
        if value is not None and 0 <= value < 1 << 15:
            kept.private_block(tag >> 16, creator, create=True).add_new(tag & 0xFF, vr, int(value))
    for tag in BLOCKS:
        block = private(source, tag)
        if isinstance(block, bytes):
            small = minimal_csa(block)
            if small:
                kept.add(DataElement(tag, "OB", small))


def _written(kept: Dataset, syntax: str) -> bytes:
    kept.file_meta = FileMetaDataset()
    kept.file_meta.TransferSyntaxUID = uid.UID(syntax)
    kept.file_meta.ImplementationClassUID = IMPLEMENTATION
    kept.file_meta.MediaStorageSOPClassUID = kept.get("SOPClassUID", "")
    kept.file_meta.MediaStorageSOPInstanceUID = kept.get("SOPInstanceUID", "")
    kept.preamble = bytes(128)
    target = io.BytesIO()
    kept.save_as(
        target,
        implicit_vr=syntax == uid.ImplicitVRLittleEndian,
        little_endian=syntax != uid.ExplicitVRBigEndian,
        enforce_file_format=True,
    )
    return target.getvalue()


def first_reference(result: bytes) -> str:
    """SOP Instance UID of the first image that a result says it was made from; "" where it says none."""
    with quiet():
        image = dcmread(io.BytesIO(result), stop_before_pixels=True)
        shared = item(image, "SharedFunctionalGroupsSequence")
        source = item(image, "SourceImageSequence") or item(
            item(shared, "DerivationImageSequence"), "SourceImageSequence"
        )
        return text(source, "ReferencedSOPInstanceUID")


def restored(result: bytes, header: bytes) -> bytes:
    """A result that was made from the technical part of a source, with what it carries on of the source's header.

    What comes out is what `write_series` and `write_capture` make of the original itself.

    Parameters
    ----------
    header : the original file of the image that `first_reference` names, or its start up to the pixels.

    Raises
    ------
    InputError
        if the header belongs to another study.
    """
    with quiet():
        source = dcmread(io.BytesIO(header), stop_before_pixels=True, force=True)
        image = dcmread(io.BytesIO(result))
        known = carried(source, deidentify=False)
        if image.StudyInstanceUID != known.StudyInstanceUID:
            raise InputError("the source on the server is of another study than the result")
        is_map = image.SOPClassUID == uid.ParametricMapStorage
        is_capture = image.SOPClassUID == uid.SecondaryCaptureImageStorage
        of_patient = _OF_THE_STUDY if is_map or is_capture else IDENTIFYING
        enhanced = not is_map and "SharedFunctionalGroupsSequence" in image
        for keyword in IDENTIFYING:
            if enhanced and keyword in ("AcquisitionDate", "AcquisitionTime"):
                continue
            if keyword in known and keyword in of_patient:
                setattr(image, keyword, known[keyword].value)
            elif keyword in image and keyword not in ("ContentDate", "ContentTime"):
                del image[keyword]
        if is_map or (enhanced and "ContentDate" not in known):
            image.ContentDate = known.StudyDate or "19000101"
        if is_map or (enhanced and "ContentTime" not in known):
            image.ContentTime = known.StudyTime or "000000"
        if not (is_map or is_capture):
            image.SeriesDescription = describe(words(source, "SeriesDescription", 64) or "Super-resolution")
        if not is_capture:
            image.ContributingEquipmentSequence = equipment(
                words(source, "Manufacturer", 64), words(source, "ManufacturerModelName", 64)
            )
        target = io.BytesIO()
        image.save_as(target, enforce_file_format=True)
        return target.getvalue()
