"""MONAI transforms: thick slices simulated, super-resolved and made to explain the data, in anyone's `Compose`.

Images are channel-first MetaTensors (C, x, y, z) whose affine says where the voxels lie (RAS+ mm), as `LoadImaged`
with ``ensure_channel_first=True`` gives them; each channel is a volume of its own. The affine comes out right.
Save with ``SaveImaged(..., resample=False)``: MONAI would otherwise put the image back on the grid that it was
loaded on.
"""

from medsr.transforms.inferer import SliceSuperResolutionInferer
from medsr.transforms.project import ProjectOntoDatad
from medsr.transforms.simulate import (
    RandSimulateThickSlices,
    RandSimulateThickSlicesd,
    SimulateThickSlices,
    SimulateThickSlicesd,
)
from medsr.transforms.superresolve import SuperResolveSlices, SuperResolveSlicesd

__all__ = [
    "ProjectOntoDatad",
    "RandSimulateThickSlices",
    "RandSimulateThickSlicesd",
    "SimulateThickSlices",
    "SimulateThickSlicesd",
    "SliceSuperResolutionInferer",
    "SuperResolveSlices",
    "SuperResolveSlicesd",
]
