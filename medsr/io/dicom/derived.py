"""What all objects of a derived series share: who, which study, how it was made, and that it is for research."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from medsr._version import VERSION
from medsr.io.dicom.codes import Coding
from medsr.io.dicom.planes import Planes
from medsr.io.dicom.source import Source
from medsr.io.dicom.uids import derived_uid

RESEARCH_MARK = "[RESEARCH USE ONLY]"
MANUFACTURER = "medsr"
IMPLEMENTATION = derived_uid("medsr", "implementation")

_RESAMPLED = ("113085", "Spatial resampling")
_LEARNED = ("123110", "Artificial Intelligence")
_SCANNER = ("109101", "Acquisition Equipment")
_PROCESSOR = ("109102", "Processing Equipment")
_SOURCE = ("121322", "Source image for image processing operation")


@dataclass(frozen=True)
class Derivation:
    """How a result was made.

    description : in words, for people who look at the image; up to 1024 characters.
    parameters : all that the result depends on besides the source; it goes into the UIDs, not into the files.
    learned : whether a trained network took part.
    slice_thickness : thickness that the result's slices stand for, in mm; the distance between them where None.
    """

    description: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    learned: bool = False
    slice_thickness: float | None = None


@dataclass(frozen=True)
class Plan:
    """Everything but the pixels of one object."""

    source: Source
    planes: Planes
    coding: Coding
    derivation: Derivation
    series_uid: UID
    series_number: int
    series_description: str
    times: int
    tr: float | None
    deidentify: bool

    @property
    def thickness(self) -> float:
        return self.derivation.slice_thickness or self.planes.across

    def instance_uid(self, *place: int) -> UID:
        """The UID of the image at a time and a slice."""
        return derived_uid("instance", self.series_uid, ",".join(map(str, place)))

    def references(self, time: int | None) -> list[tuple[str, str]]:
        """The images that a time of the result was made from; all of them where the source has other times."""
        images = self.source.images
        if time is not None and len(images) == self.times:
            return list(images[time])
        return list(dict.fromkeys(image for volume in images for image in volume))


def describe(words: str, mark: str = RESEARCH_MARK) -> str:
    """A Series Description of at most 64 characters that ends in the research-use mark."""
    return f"{words[: 64 - len(mark) - 1].strip()} {mark}".strip()


def common(plan: Plan, sop_class: UID, sop_uid: UID) -> Dataset:
    """Patient, study, series, frame of reference, equipment and SOP common modules."""
    data = Dataset()
    data.update(plan.source.carried)
    data.SOPClassUID, data.SOPInstanceUID = sop_class, sop_uid
    data.Modality = "MR"
    data.SeriesInstanceUID, data.SeriesNumber = plan.series_uid, plan.series_number
    data.SeriesDescription = plan.series_description
    if "PatientPosition" not in data:
        data.PatientPosition = ""
    data.PositionReferenceIndicator = ""
    data.Manufacturer = data.ManufacturerModelName = MANUFACTURER
    data.SoftwareVersions = VERSION
    data.BurnedInAnnotation = "NO"
    data.ContributingEquipmentSequence = equipment(*plan.source.scanner)
    return data


def derived_from(plan: Plan, time: int | None) -> Dataset:
    """How the image was made, and from which: derivation description, codes, and source images."""
    data = Dataset()
    data.DerivationDescription = plan.derivation.description[:1024]
    kinds = [_RESAMPLED, _LEARNED] if plan.derivation.learned else [_RESAMPLED]
    data.DerivationCodeSequence = [code(*kind) for kind in kinds]
    images = []
    for sop_class, sop_uid in plan.references(time):
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = sop_class, sop_uid
        image.PurposeOfReferenceCodeSequence = [code(*_SOURCE)]
        images.append(image)
    if images:
        data.SourceImageSequence = images
    return data


def code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    """An item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def save(data: Dataset, path: Path) -> None:
    """Write one object, Explicit VR Little Endian, with a preamble of zeros, and hand it to the disk."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = f"MEDSR_{VERSION}"[:16]
    data.file_meta = meta
    data.preamble = bytes(128)
    with path.open("wb") as file:
        data.save_as(file, enforce_file_format=True)
        file.flush()
        os.fsync(file.fileno())


def equipment(maker: str, model: str) -> list[Dataset]:
    """Items of the Contributing Equipment Sequence: the scanner, where its maker is known, and medsr."""
    found: Iterable[tuple[tuple[str, str], str, str, str]] = (
        (_SCANNER, maker, model, ""),
        (_PROCESSOR, MANUFACTURER, MANUFACTURER, VERSION),
    )
    items = []
    for purpose, manufacturer, name, software in found:
        if not manufacturer:
            continue
        item = Dataset()
        item.PurposeOfReferenceCodeSequence = [code(*purpose)]
        item.Manufacturer = manufacturer
        if name:
            item.ManufacturerModelName = name
        if software:
            item.SoftwareVersions = software
            item.ContributionDescription = "Super-resolution reconstruction, for research use only"
        items.append(item)
    return items
