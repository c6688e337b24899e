"""What a derived series needs to know of the series it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from medsr.io.dicom.allowlist import KEYWORDS, carried, maker, words
from medsr.io.dicom.header import read_header
from medsr.io.dicom.quiet import quiet
from medsr.io.dicom.series import SeriesInfo
from medsr.io.dicom.uids import derived_uid
from medsr.io.dicom.values import item, number, text


@dataclass(frozen=True)
class Source:
    """The carried attributes, and references to the images, a tuple for each time.

    study_uid, series_uid : of the source, as they may be written.
    images : (SOP class UID, SOP Instance UID) of each image.
    scanner : manufacturer and model of the scanner.
    """

    carried: Dataset
    study_uid: str
    series_uid: str
    series_number: int | None
    description: str
    scanner: tuple[str, str]
    images: tuple[tuple[tuple[str, str], ...], ...]


def read_source(info: SeriesInfo | None, *, deidentify: bool) -> Source:
    """What `info` hands on; None for a result that was not made from DICOM, which gets a study of its own.

    Raises
    ------
    InputError
        if the series' files cannot be read again.
    """
    if info is None or info.stack is None:
        return Source(carried(Dataset(), deidentify=deidentify), "", "", None, "", ("", ""), ())
    data = read_header(info.stack.frames[0][0].instance.path, KEYWORDS).data
    with quiet():
        shared = item(data, "SharedFunctionalGroupsSequence")
        kept = carried(_flat(data, shared), deidentify=deidentify)
        return Source(
            carried=kept,
            study_uid=str(kept.StudyInstanceUID),
            series_uid=_known(info.uid, deidentify=deidentify),
            series_number=info.number,
            description="" if deidentify else words(data, "SeriesDescription", 64),
            scanner=(maker(data), "")
            if deidentify
            else (words(data, "Manufacturer", 64), words(data, "ManufacturerModelName", 64)),
            images=tuple(
                tuple(
                    _reference(frame.instance.sop_class, frame.instance.uid, deidentify=deidentify)
                    for frame in unique
                )
                for unique in (
                    {frame.instance.uid: frame for frame in volume}.values() for volume in info.stack.frames
                )
            ),
        )


def _reference(sop_class: str, uid: str, *, deidentify: bool) -> tuple[str, str]:
    return sop_class, _known(uid, deidentify=deidentify)


def _known(uid: str, *, deidentify: bool) -> str:
    return derived_uid("de-identified", uid) if deidentify else uid


def _flat(data: Any, shared: Any) -> Any:
    """The data set, with what an enhanced one says of repetition and echo time put where classic ones have it."""
    for sequence, inside, outside in (
        ("MRTimingAndRelatedParametersSequence", "RepetitionTime", "RepetitionTime"),
        ("MRTimingAndRelatedParametersSequence", "FlipAngle", "FlipAngle"),
        ("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
    ):
        found = number(item(shared, sequence), inside)
        if found is not None and not text(data, outside):
            setattr(data, outside, found)
    return data
