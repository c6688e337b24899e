"""One slice of a DICOM file: where it lies, when it was taken, how its codes become values.

Classic files hold one, enhanced ones many, a Siemens mosaic one for each tile; what follows (sorting, splitting by
time, the grid) sees frames alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medsr.errors import GeometryError, InputError
from medsr.io.dicom.instance import GE_COMPLEX, Instance
from medsr.io.dicom.values import as_number, item, moment, number, numbers, present, private, texts

_GE_PARTS = {1: "phase", 2: "real", 3: "imaginary"}
PARTS = {
    "P": "phase", "PHASE": "phase", "PHASE MAP": "phase", "R": "real", "REAL": "real", "I": "imaginary",
    "IMAGINARY": "imaginary", "M": "", "MAGNITUDE": "", "MIXED": "mixed",
}  # fmt: skip


@dataclass(frozen=True)
class Clock:
    """What tells the times of two frames apart, in the order in which medsr asks; None where the header is silent.

    temporal : temporal position identifier or index.
    acquisition : acquisition number.
    trigger : trigger time, in ms.
    moment : acquisition time, in s.
    number : instance number, or the frame's place in its file.
    """

    temporal: float | None = None
    acquisition: float | None = None
    trigger: float | None = None
    moment: float | None = None
    number: float | None = None


@dataclass(frozen=True)
class Frame:
    """One slice: where it lies (LPS, mm, centre of the first voxel), when it was taken, and how its codes become
    values.

    spacing : distance between rows, then between columns, in mm.
    corner : row and column of its first voxel in the stored frame (other than 0, 0 in a mosaic).
    component : "" for a magnitude image; "phase", "real", "imaginary".
    echo : echo time, in ms.
    """

    instance: Instance
    index: int
    corner: tuple[int, int]
    shape: tuple[int, int]
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    slope: float
    intercept: float
    clock: Clock
    component: str
    echo: float | None
    thickness: float | None
    spacing_between: float | None


def classic(instance: Instance, data: Any) -> Frame:
    """The frame of a classic file."""
    if instance.count != 1:
        raise InputError(
            f"{instance.path.name} is a classic image with {instance.count} frames", rule="one frame a file"
        )
    return make_frame(
        instance,
        0,
        [data],
        _clock(data),
        component=component_of(data, "ImageType", data),
        echo=number(data, "EchoTime"),
    )


def make_frame(
    instance: Instance, index: int, places: list[Any], clock: Clock, *, component: str, echo: float | None
) -> Frame:
    """A frame from the first of `places` (the data set, or its functional groups) that says each thing."""

    where = f"frame {index + 1} of {instance.path.name}" if instance.count > 1 else instance.path.name

    def find(sequence: str, keyword: str, count: int) -> tuple[float, ...] | None:
        for place in places:
            for holder in (item(place, sequence), place):
                if present(holder, keyword):
                    found = numbers(holder, keyword, count)
                    if found is None:
                        raise InputError(f"{where} has a broken {keyword}", rule=f"{count} finite numbers")
                    return found
        return None

    position = find("PlanePositionSequence", "ImagePositionPatient", 3)
    orientation = find("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = find("PixelMeasuresSequence", "PixelSpacing", 2)
    for found, words in ((position, "position"), (orientation, "orientation"), (spacing, "pixel spacing")):
        if found is None:
            raise GeometryError(f"{where} has no usable {words}", hint="medsr cannot know where its voxels lie")
    slope = find("PixelValueTransformationSequence", "RescaleSlope", 1)
    intercept = find("PixelValueTransformationSequence", "RescaleIntercept", 1)
    thickness = find("PixelMeasuresSequence", "SliceThickness", 1)
    between = find("PixelMeasuresSequence", "SpacingBetweenSlices", 1)
    assert position and orientation and spacing
    if slope and not slope[0]:
        raise InputError(f"{where} has a rescale slope of 0", rule="values are slope x code + intercept")
    return Frame(
        instance=instance,
        index=index,
        corner=(0, 0),
        shape=(instance.rows, instance.columns),
        position=position,
        orientation=orientation,
        spacing=spacing,
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        clock=clock,
        component=component,
        echo=echo,
        thickness=_positive(thickness),
        spacing_between=_positive(between),
    )


def _clock(data: Any) -> Clock:
    return Clock(
        temporal=number(data, "TemporalPositionIdentifier"),
        acquisition=number(data, "AcquisitionNumber"),
        trigger=number(data, "TriggerTime"),
        moment=moment(data, "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime"),
        number=number(data, "InstanceNumber"),
    )


def component_of(data: Any, keyword: str, whole: Any) -> str:
    """ "" for a magnitude image, else "phase", "real" or "imaginary"."""
    for word in texts(data, keyword)[2:]:
        if word in PARTS:
            return PARTS[word]
    return _GE_PARTS.get(int(as_number(private(whole, GE_COMPLEX)) or 0), "")


def _positive(found: tuple[float, ...] | None) -> float | None:
    return found[0] if found and found[0] > 0 else None
