"""A derived series as classic MR images, a file for each slice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from medsr.io.dicom.allowlist import ds
from medsr.io.dicom.derived import Plan, common, derived_from


def classic_images(plan: Plan, data: NDArray[np.float32]) -> Iterator[Dataset]:
    """The images of (t, x, y, z) values, slice by slice, then time by time."""
    for time, volume in enumerate(data):
        shared = _shared(plan, time)
        for place, values in enumerate(plan.planes.arranged(volume)):
            image = common(plan, MRImageStorage, plan.instance_uid(time, place))
            image.update(shared)
            image.InstanceNumber = time * len(plan.planes.positions) + place + 1
            image.ImagePositionPatient = [ds(v) for v in plan.planes.positions[place]]
            image.SliceLocation = ds(plan.planes.locations[place])
            image.PixelData = plan.coding.encode(values)
            yield image


def _shared(plan: Plan, time: int) -> Dataset:
    """What the images of one time have in common."""
    data, planes = derived_from(plan, time), plan.planes
    data.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    data.AcquisitionNumber = time + 1
    if plan.times > 1:
        data.TemporalPositionIdentifier, data.NumberOfTemporalPositions = time + 1, plan.times
        if plan.tr:
            data.TemporalResolution = ds(1000 * plan.tr)
        if "ContentDate" not in plan.source.carried:
            data.ContentDate = ""
    data.ImageOrientationPatient = [ds(v) for v in planes.orientation]
    data.PixelSpacing = [ds(v) for v in planes.spacing]
    data.SliceThickness = ds(plan.thickness)
    data.SpacingBetweenSlices = ds(planes.across)
    carried = plan.source.carried
    if "BodyPartExamined" not in carried:
        data.Laterality = ""
    for keyword, empty in _MR_MODULE:
        if keyword not in carried:
            setattr(data, keyword, empty)
    _pixel_module(data, plan)
    return data


_MR_MODULE = (
    ("ScanningSequence", "RM"),
    ("SequenceVariant", "NONE"),
    ("ScanOptions", ""),
    ("MRAcquisitionType", ""),
    ("RepetitionTime", None),
    ("EchoTime", None),
    ("EchoTrainLength", None),
)
"""Attributes that an MR image has to have, with what stands for "not known"."""


def _pixel_module(data: Dataset, plan: Plan) -> None:
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = plan.planes.shape
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = int(plan.coding.signed)
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = ds(0), ds(plan.coding.slope), "US"
    centre, width = plan.coding.window
    data.WindowCenter, data.WindowWidth = ds(centre), ds(width)
