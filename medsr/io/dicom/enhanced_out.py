"""A derived series as one Enhanced MR image with a frame for each slice and time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage

from medsr.io.dicom.allowlist import ds
from medsr.io.dicom.derived import Plan, code, common, derived_from
from medsr.io.dicom.uids import derived_uid

_REGIONS = {"BRAIN": ("12738006", "Brain"), "HEAD": ("69536005", "Head")}
_WHOLE = ("38266002", "Entire body")
_STACK_ID, _IN_STACK, _TIME = 0x00209056, 0x00209057, 0x00209128
_FRAME_CONTENT = 0x00209111
_ORIGINAL_ONLY = (
    "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoTrainLength", "NumberOfAverages",
    "ScanningSequence", "SequenceVariant", "ScanOptions", "ImagedNucleus", "ImagingFrequency", "MRAcquisitionType",
    "AcquisitionDate", "AcquisitionTime",
)  # fmt: skip
"""Classic attributes whose places in an enhanced image are for original ones."""
_KIND = ("DERIVED", "PRIMARY", "VOLUME", "RESAMPLED")
"""Enhanced objects say PRIMARY of all that is no picture of a screen; DERIVED and RESAMPLED carry the meaning."""


def enhanced_image(plan: Plan, data: NDArray[np.float32]) -> Dataset:
    """One multi-frame image of (t, x, y, z) values."""
    image = common(plan, EnhancedMRImageStorage, plan.instance_uid(0, 0))
    for keyword in _ORIGINAL_ONLY:
        if keyword in image:
            del image[keyword]
    image.DeviceSerialNumber = "none"
    image.InstanceNumber = 1
    image.ImageType = list(_KIND)
    _frame_kind(image)
    image.ContentQualification = "RESEARCH"
    image.setdefault("ContentDate", plan.source.carried.StudyDate or "19000101")
    image.setdefault("ContentTime", plan.source.carried.StudyTime or "000000")
    image.LossyImageCompression = plan.source.carried.get("LossyImageCompression", "00")
    if "ApplicableSafetyStandardAgency" not in image:
        image.ApplicableSafetyStandardAgency = "UNKNOWN"
    image.PresentationLUTShape = "IDENTITY"
    image.AcquisitionContextSequence = []
    evidence = _evidence(plan)
    if evidence is not None:
        image.SourceImageEvidenceSequence = [evidence]
    _pixels(image, plan, data)
    _dimensions(image, plan)
    image.SharedFunctionalGroupsSequence = [_shared(plan)]
    image.PerFrameFunctionalGroupsSequence = [
        _frame(plan, time, place) for time in range(len(data)) for place in range(len(plan.planes.positions))
    ]
    return image


def _evidence(plan: Plan) -> Dataset | None:
    """The source images again, by study and series."""
    images = plan.references(None)
    if not images:
        return None
    series, study = Dataset(), Dataset()
    series.SeriesInstanceUID = plan.source.series_uid
    series.ReferencedSOPSequence = []
    for sop_class, sop_uid in images:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = sop_class, sop_uid
        series.ReferencedSOPSequence.append(image)
    study.StudyInstanceUID, study.ReferencedSeriesSequence = plan.source.study_uid, [series]
    return study


def _frame_kind(data: Dataset) -> None:
    data.PixelPresentation = "MONOCHROME"
    data.VolumetricProperties = "VOLUME"
    data.VolumeBasedCalculationTechnique = "NONE"
    data.ComplexImageComponent = "MAGNITUDE"
    data.AcquisitionContrast = "UNKNOWN"


def _pixels(image: Dataset, plan: Plan, data: NDArray[np.float32]) -> None:
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = plan.planes.shape
    image.NumberOfFrames = len(data) * len(plan.planes.positions)
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = int(plan.coding.signed)
    image.PixelData = b"".join(plan.coding.encode(plan.planes.arranged(volume)) for volume in data)


def _dimensions(image: Dataset, plan: Plan) -> None:
    organization = Dataset()
    organization.DimensionOrganizationUID = derived_uid("dimensions", plan.series_uid)
    image.DimensionOrganizationSequence = [organization]
    image.DimensionOrganizationType = "3D_TEMPORAL" if plan.times > 1 else "3D"
    indices = []
    for pointer, label in (
        (_STACK_ID, "Stack"),
        (_IN_STACK, "Slice"),
        *(((_TIME, "Time"),) if plan.times > 1 else ()),
    ):
        index = Dataset()
        index.DimensionOrganizationUID = organization.DimensionOrganizationUID
        index.DimensionIndexPointer, index.FunctionalGroupPointer = pointer, _FRAME_CONTENT
        index.DimensionDescriptionLabel = label
        indices.append(index)
    image.DimensionIndexSequence = indices


def _shared(plan: Plan) -> Dataset:
    group, planes = Dataset(), plan.planes
    measures = Dataset()
    measures.PixelSpacing = [ds(v) for v in planes.spacing]
    measures.SliceThickness, measures.SpacingBetweenSlices = ds(plan.thickness), ds(planes.across)
    group.PixelMeasuresSequence = [measures]
    turned = Dataset()
    turned.ImageOrientationPatient = [ds(v) for v in planes.orientation]
    group.PlaneOrientationSequence = [turned]
    anatomy = Dataset()
    anatomy.FrameLaterality = "U"
    region = _REGIONS.get(plan.source.carried.get("BodyPartExamined", ""), _WHOLE)
    anatomy.AnatomicRegionSequence = [code(*region, scheme="SCT")]
    group.FrameAnatomySequence = [anatomy]
    kind = Dataset()
    kind.FrameType = list(_KIND)
    _frame_kind(kind)
    group.MRImageFrameTypeSequence = [kind]
    values = Dataset()
    values.RescaleIntercept, values.RescaleSlope, values.RescaleType = ds(0), ds(plan.coding.slope), "US"
    group.PixelValueTransformationSequence = [values]
    window = Dataset()
    window.WindowCenter, window.WindowWidth = (ds(v) for v in plan.coding.window)
    group.FrameVOILUTSequence = [window]
    if plan.source.images:
        group.DerivationImageSequence = [derived_from(plan, None)]
    return group


def _frame(plan: Plan, time: int, place: int) -> Dataset:
    group, content, position = Dataset(), Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber = "1", place + 1
    content.DimensionIndexValues = [1, place + 1]
    if plan.times > 1:
        content.TemporalPositionIndex = time + 1
        content.DimensionIndexValues = [1, place + 1, time + 1]
    group.FrameContentSequence = [content]
    position.ImagePositionPatient = [ds(v) for v in plan.planes.positions[place]]
    group.PlanePositionSequence = [position]
    return group
