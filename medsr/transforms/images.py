"""Between MONAI's MetaTensor and medsr's volume."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import MetaKeys
from torch import Tensor

from medsr.errors import InputError
from medsr.volume import Grid, ScanFacts, Volume

THICKNESS, AXIS, KIND = "slice_thickness", "slice_axis", "acquisition_type"
"""Keys of the meta data that say how a scan was made; see `ScanFacts`."""


def volume_of(image: Tensor) -> Volume:
    """A channel-first MetaTensor (C, x, y, z) as a volume: one channel (x, y, z), several as frames.

    What the meta data say of slice thickness, slice axis and kind of acquisition is read.

    Raises
    ------
    InputError
        where it is no MetaTensor, or has not three axes beside the channel.
    GeometryError
        where its affine is not one of a volume.
    """
    if not isinstance(image, MetaTensor):
        raise InputError(
            "an image without an affine",
            got=type(image).__name__,
            rule="medsr.transforms take MetaTensors",
            hint="load it with LoadImaged, and leave monai.data.set_track_meta on",
        )
    if image.ndim != 4:
        raise InputError(
            "not a channel-first volume",
            got=tuple(image.shape),
            rule="(C, x, y, z)",
            hint="use LoadImaged(..., ensure_channel_first=True)",
        )
    data = image.as_tensor().detach().float().cpu().numpy()
    x, y, z = data.shape[1:]
    grid = Grid((x, y, z), np.asarray(image.affine, dtype=np.float64))
    return Volume(np.ascontiguousarray(data[0] if len(data) == 1 else data), grid, _facts(image.meta))


def image_of(volume: Volume, like: MetaTensor) -> MetaTensor:
    """The volume as a channel-first MetaTensor with the meta data of `like` and its own affine."""
    data = torch.from_numpy(np.ascontiguousarray(volume.data)).to(like.device)
    made = MetaTensor(data[None] if data.ndim == 3 else data)
    made.copy_meta_from(like, copy_attr=True)
    made.affine = torch.as_tensor(np.array(volume.grid.affine))
    made.meta[MetaKeys.SPATIAL_SHAPE] = np.array(volume.grid.shape)
    facts = volume.facts
    for key, value in (
        (THICKNESS, facts.slice_thickness),
        (AXIS, facts.slice_axis),
        (KIND, facts.acquisition_type),
    ):
        made.meta.pop(key, None)
        if value is not None:
            made.meta[key] = value
    return made


def _facts(meta: dict[str, Any]) -> ScanFacts:
    kind: Literal["2D", "3D"] | None = meta.get(KIND)
    return ScanFacts(
        slice_thickness=None if meta.get(THICKNESS) is None else float(meta[THICKNESS]),
        acquisition_type=kind if kind in ("2D", "3D") else None,
        slice_axis=None if meta.get(AXIS) is None else int(meta[AXIS]),
    )
