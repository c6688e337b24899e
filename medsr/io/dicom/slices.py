"""The slices in a file, whatever kind of file it is."""

from __future__ import annotations

from typing import Any

from medsr.io.dicom.enhanced import enhanced
from medsr.io.dicom.frames import Frame, classic
from medsr.io.dicom.instance import ENHANCED, Instance, check_pixels
from medsr.io.dicom.mosaic import tiles
from medsr.io.dicom.quiet import quiet


def frames_of(instance: Instance, data: Any) -> list[Frame]:
    """The slices in one file, from its data set.

    Raises
    ------
    InputError
        if the pixels are of a kind that medsr does not read.
    GeometryError
        if the file does not say where its slices lie.
    """
    with quiet():
        check_pixels(instance, data)
        if instance.sop_class in ENHANCED:
            return enhanced(instance, data)
        frame = classic(instance, data)
        return tiles(frame) if "MOSAIC" in instance.image_type else [frame]
