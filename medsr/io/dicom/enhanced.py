"""Enhanced multi-frame objects: many frames in a file, each with its functional groups."""

from __future__ import annotations

from typing import Any

from medsr.errors import InputError
from medsr.io.dicom.frames import PARTS, Clock, Frame, component_of, make_frame
from medsr.io.dicom.instance import Instance
from medsr.io.dicom.values import item, items, moment, number, text


def enhanced(instance: Instance, data: Any) -> list[Frame]:
    """The frames of an enhanced file, in the order in which they are stored."""
    shared, groups = item(data, "SharedFunctionalGroupsSequence"), items(data, "PerFrameFunctionalGroupsSequence")
    if len(groups) != instance.count:
        raise InputError(
            f"{instance.path.name} describes {len(groups)} of its {instance.count} frames",
            rule="each frame has an item of functional groups",
        )
    frames = []
    for index, group in enumerate(groups):
        content = item(group, "FrameContentSequence")
        echo = item(group, "MREchoSequence") or item(shared, "MREchoSequence")
        kind = item(group, "MRImageFrameTypeSequence") or item(shared, "MRImageFrameTypeSequence")
        trigger = item(group, "CardiacSynchronizationSequence")
        clock = Clock(
            temporal=number(content, "TemporalPositionIndex"),
            acquisition=number(content, "FrameAcquisitionNumber"),
            trigger=number(trigger, "NominalCardiacTriggerDelayTime"),
            moment=moment(content, "", "", "FrameAcquisitionDateTime"),
            number=float(index),
        )
        component = PARTS.get(text(kind, "ComplexImageComponent"), component_of(kind, "FrameType", data))
        frames.append(
            make_frame(
                instance,
                index,
                [group, shared],
                clock,
                component=component,
                echo=number(echo, "EffectiveEchoTime"),
            )
        )
    return frames
