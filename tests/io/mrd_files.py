"""MRD files written with the ismrmrd package alone, as other people's tools write them."""

from __future__ import annotations

import ismrmrd
import numpy as np
from ismrmrd import xsd

LPS = np.array([-1.0, -1.0, 1.0])


def rotation(x: float, y: float, z: float) -> np.ndarray:
    """A rotation by three angles in rad, in turn."""
    cx, sx, cy, sy, cz, sz = np.cos(x), np.sin(x), np.cos(y), np.sin(y), np.cos(z), np.sin(z)
    return (
        np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    )


def header(
    matrix=(16, 16, 1),
    fov=(192.0, 192.0, 3.0),
    trajectory="spiral",
    tr=(500.0,),
    te=(30.0,),
    recon_matrix=None,
    recon_fov=None,
    encodings=1,
    noise_bandwidth=None,
):
    """An XML header made with ismrmrd's own schema."""

    def space(n, f):
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=n[0], y=n[1], z=n[2]),
            fieldOfView_mm=xsd.fieldOfViewMm(x=f[0], y=f[1], z=f[2]),
        )

    encoding = xsd.encodingType(
        encodedSpace=space(matrix, fov),
        reconSpace=space(recon_matrix or matrix, recon_fov or fov),
        encodingLimits=xsd.encodingLimitsType(),
        trajectory=xsd.trajectoryType(trajectory),
    )
    system = xsd.acquisitionSystemInformationType(relativeReceiverNoiseBandwidth=noise_bandwidth)
    return xsd.ismrmrdHeader(
        acquisitionSystemInformation=system,
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123_000_000),
        encoding=[encoding] * encodings,
        sequenceParameters=xsd.sequenceParametersType(TR=list(tr), TE=list(te)),
    ).toXML()


def readout(
    data,
    trajectory=None,
    *,
    flags=(),
    position=(0.0, 0.0, 0.0),
    directions=None,
    sample_time=4.0,
    head=None,
    **counters,
):
    """One acquisition; directions are columns (read, phase, slice), LPS."""
    acquisition = ismrmrd.Acquisition.from_array(
        np.asarray(data, dtype=np.complex64), None if trajectory is None else np.asarray(trajectory, np.float32)
    )
    for flag in flags:
        acquisition.setFlag(flag)
    directions = np.eye(3) if directions is None else directions
    acquisition.position[:] = tuple(map(float, position))
    acquisition.read_dir[:], acquisition.phase_dir[:], acquisition.slice_dir[:] = (
        tuple(map(float, directions[:, i])) for i in range(3)
    )
    acquisition.sample_time_us = sample_time
    for name, value in counters.items():
        setattr(acquisition.idx, name, value)
    for name, value in (head or {}).items():
        setattr(acquisition, name, value)
    return acquisition


def save(path, xml, acquisitions, group="dataset"):
    """The file."""
    with ismrmrd.Dataset(str(path), group) as file:
        file.write_xml_header(xml)
        for acquisition in acquisitions:
            file.append_acquisition(acquisition)
    return path


def spiral(interleaves=4, samples=120, edge=8.0, turns=4.0):
    """(interleaves, samples, 2) in cycles per field of view."""
    t = np.linspace(0, 1, samples)
    base = edge * t * np.exp(2j * np.pi * turns * t)
    k = base * np.exp(2j * np.pi * np.arange(interleaves) / interleaves)[:, None]
    return np.stack([k.real, k.imag], axis=-1)
