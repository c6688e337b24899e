"""The uncertainty of a result as Parametric Maps in single precision, on the result's own grid."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from medsr._version import VERSION
from medsr.io.dicom.derived import MANUFACTURER, Plan, describe
from medsr.io.dicom.uids import derived_uid
from medsr.volume import Volume

LABEL = "UNCERTAINTY"
NUMBER_OFFSET = 500
"""Added to the Series Number of the images."""

_SAME = ("BodyPartExamined", "ContributingEquipmentSequence")
_OF_TODAY = ("InstanceCreationDate", "InstanceCreationTime")


def parametric_maps(plan: Plan, images: list[Dataset], uncertainty: Volume, series_uid: UID) -> Iterator[Dataset]:
    """A map for each time, from the headers of the images it belongs to.

    highdicom writes them (https://doi.org/10.1007/s10278-022-00683-y); its dates and random UIDs are replaced, so
    that the same map has the same bytes.
    """
    data = uncertainty.data if uncertainty.data.ndim == 4 else uncertainty.data[None]
    count = len(plan.planes.positions)
    for time, values in enumerate(data):
        stack = np.ascontiguousarray(plan.planes.arranged(values), np.float32)
        mine = images if len(images) == 1 else images[time * count : (time + 1) * count]
        yield _map(plan, mine, stack, series_uid, time)


def _map(plan: Plan, images: list[Dataset], stack: NDArray[np.float32], series_uid: UID, time: int) -> Dataset:
    import highdicom as hd

    planes = plan.planes
    values = hd.pm.RealWorldValueMapping(
        lut_label=LABEL,
        lut_explanation="Half width of an interval around the image's values",
        unit=hd.sr.CodedConcept("1", "UCUM", "no units"),
        value_range=(float(stack.min()), float(stack.max())),
        slope=1.0,
        intercept=0.0,
    )
    low, high = (float(v) for v in np.percentile(stack, (1, 99)))
    found: Dataset = hd.pm.ParametricMap(
        source_images=images,
        pixel_array=stack,
        series_instance_uid=series_uid,
        series_number=plan.series_number + NUMBER_OFFSET,
        sop_instance_uid=plan.instance_uid(time, -1),
        instance_number=time + 1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=VERSION,
        device_serial_number="none",
        contains_recognizable_visual_features=True,
        real_world_value_mappings=[values],
        window_center=(low + high) / 2,
        window_width=max(high - low, 1e-6),
        content_description="Uncertainty: half width of an interval; research use only",
        content_label=LABEL,
        pixel_measures=hd.PixelMeasuresSequence(
            pixel_spacing=planes.spacing, slice_thickness=plan.thickness, spacing_between_slices=planes.across
        ),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", planes.orientation),
        plane_positions=[hd.PlanePositionSequence("PATIENT", position) for position in planes.positions],
        series_description=describe("Uncertainty"),
    )
    for keyword in _SAME:
        if keyword in images[0]:
            found[keyword] = images[0][keyword]
    if "BodyPartExamined" not in found:
        found.Laterality = ""
    for keyword in _OF_TODAY:
        if keyword in found:
            delattr(found, keyword)
    found.ContentCreatorName = ""  # type 2, which highdicom leaves out where nobody is named
    dimensions = derived_uid("dimensions", series_uid)
    for item in (*found.DimensionOrganizationSequence, *found.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    found.ContentDate = plan.source.carried.StudyDate or "19000101"
    found.ContentTime = plan.source.carried.StudyTime or "000000"
    return found
