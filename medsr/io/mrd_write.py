"""Writing raw data as MRD (ISMRMRD) files."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError, OutputError, UsageError
from medsr.io import mrd_units
from medsr.io.atomic import Transaction
from medsr.measurement import KSpace

_NAMESPACE = "http://www.ismrm.org/ISMRMRD"
_FIRST_IN_SLICE, _LAST_IN_SLICE, _FIRST_IN_REPETITION, _LAST_IN_REPETITION = 7, 8, 13, 14
_NOISE, _CALIBRATION, _LAST = 19, 20, 25
_ROWS = 256
"""Acquisitions written at a time."""


def write_mrd(
    scan: KSpace,
    path: str | Path,
    *,
    noise: NDArray[np.complex64] | None = None,
    units: str = "cycles/FOV",
    state_units: bool = True,
    interleaves: int | None = None,
    field_strength: float = 3.0,
) -> None:
    """Write a spiral scan, its noise scan, its calibration, its frames, straight to `path`.

    The header's TR is that of one readout: ``scan.tr / scan.readouts``. Use it within a
    `medsr.io.atomic.Transaction`; `save_mrd` is the same for a single file.

    Parameters
    ----------
    scan : the raw data.
    path : of the .h5 file, which is replaced.
    noise : (coils, samples) of a noise scan at the readouts' bandwidth.
    units : of the trajectory in the file, one of `mrd_units.UNITS`.
    state_units : say the units in the header's trajectory description.
    interleaves : how many sample k-space fully, for the header; the largest number in the scan unless given.
    field_strength : in T.

    Raises
    ------
    OutputError
        if the file cannot be written.
    InputError
        if the scan does not fit the format.
    UsageError
        if there are no such units, or a package is missing.
    """
    if units not in mrd_units.UNITS:
        raise UsageError("no such trajectory units", got=units, rule=f"one of {', '.join(mrd_units.UNITS)}")
    try:
        import h5py
        from ismrmrd.hdf5 import acquisition_dtype
    except ImportError:
        raise UsageError("raw data need h5py and ismrmrd", hint='pip install "medsr[kspace]"') from None
    blocks = _blocks(scan, noise, units)
    rows = sum(len(b.heads) for b in blocks)
    header = _xml(scan, interleaves, units if state_units else None, field_strength)
    try:
        with h5py.File(path, "w") as file:
            group = file.create_group("dataset")
            group.create_dataset("xml", shape=(1,), dtype=h5py.special_dtype(vlen=bytes))[0] = header
            table = group.create_dataset("data", shape=(rows,), maxshape=(None,), dtype=acquisition_dtype)
            at = 0
            for block in blocks:
                for low in range(0, len(block.heads), _ROWS):
                    part = block.rows(low, min(low + _ROWS, len(block.heads)), acquisition_dtype)
                    part["head"]["scan_counter"] = np.arange(at, at + len(part))
                    table[at : at + len(part)] = part
                    at += len(part)
    except OSError as e:
        raise OutputError(f"{path}: cannot be written", got=e.strerror or str(e)) from None


def save_mrd(
    scan: KSpace,
    path: str | Path,
    *,
    noise: NDArray[np.complex64] | None = None,
    interleaves: int | None = None,
    force: bool = False,
) -> None:
    """Write a spiral scan in one step: `path` is whole, or as it was. See `write_mrd`.

    Raises
    ------
    OutputError
        if `path` exists and `force` is not given, or it cannot be written.
    """
    with Transaction(force=force) as transaction:
        write_mrd(scan, transaction.path(path), noise=noise, interleaves=interleaves)


class _Block:
    """Acquisitions of one kind.

    heads : (n,) headers; data : (n, coils, samples); k : (n, samples, dims) trajectories, None for noise.
    """

    def __init__(
        self, heads: NDArray[Any], data: NDArray[np.complex64], k: NDArray[np.float32] | None = None
    ) -> None:
        self.heads, self.data, self.k = heads, data, k

    def rows(self, low: int, high: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        part = np.empty(high - low, dtype=dtype)
        part["head"] = self.heads[low:high]
        for i in range(high - low):
            part["data"][i] = np.ascontiguousarray(self.data[low + i]).view(np.float32).ravel()
            part["traj"][i] = np.zeros(0, np.float32) if self.k is None else self.k[low + i].ravel()
        return part


def _blocks(scan: KSpace, noise: NDArray[np.complex64] | None, units: str) -> list[_Block]:
    length = scan.data.shape[-1] // scan.readouts
    if length > 65535 or scan.coils > 1024 or max(scan.frames, scan.slices) > 65535:
        raise InputError("the scan does not fit MRD", got=f"{scan.data.shape}", rule="65535 samples a readout")
    blocks = []
    if noise is not None:
        if noise.shape[0] != scan.coils:
            raise InputError("the noise scan has other coils", got=noise.shape[0], rule=str(scan.coils))
        pieces = np.array_split(noise, -(-noise.shape[1] // 4096), axis=1)
        pieces = [p[:, : pieces[-1].shape[1]] for p in pieces]  # of one length
        heads = _heads(len(pieces), scan, pieces[0].shape[1], dims=0)
        heads["flags"] = _bit(_NOISE)
        blocks.append(_Block(heads, np.stack(pieces).astype(np.complex64)))
    if scan.calibration is not None:
        block = _frames(scan.calibration, scan, units)
        block.heads["flags"] = _bit(_CALIBRATION)
        blocks.append(block)
    block = _frames(scan, scan, units)
    block.heads["flags"][-1] |= _bit(_LAST)
    blocks.append(block)
    return blocks


def _frames(part: KSpace, scan: KSpace, units: str) -> _Block:
    """The readouts of `part`, in order of frame, readout, slice."""
    s, f, coils, total = part.data.shape
    r, n = part.readouts, total // part.readouts
    data = part.data.reshape(s, f, coils, r, n).transpose(1, 3, 0, 2, 4).reshape(f * r * s, coils, n)
    k = np.broadcast_to(part.trajectory, (s, f, total, part.dims)).reshape(s, f, r, n, part.dims)
    k = k.transpose(1, 2, 0, 3, 4).reshape(f * r * s, n, part.dims)
    fov = [e / 1e3 for e in scan.grid.field_of_view]
    scale = [1 / (fov[a] * mrd_units.per_metre(units, scan.grid.shape[a], fov[a])) for a in range(part.dims)]
    heads = _heads(f * r * s, scan, n, part.dims)
    frame, readout, where = (
        a.ravel() for a in np.meshgrid(np.arange(f), np.arange(r), np.arange(s), indexing="ij")
    )
    interleaf = part.interleaf if part.interleaf is not None else np.broadcast_to(np.arange(r), (s, f, r))
    index = heads["idx"]
    index["kspace_encode_step_1"] = interleaf[where, frame, readout]
    index["repetition"], index["slice"] = frame, where
    if part.dims == 3:
        index["kspace_encode_step_2"] = np.rint(k[:, 0, 2] + scan.grid.shape[2] // 2)
    first = part.trajectory.reshape(-1, part.dims)[:n]
    heads["center_sample"] = int(np.argmin((first[:, :2] ** 2).sum(axis=-1)))
    heads["sample_time_us"] = (part.times[1] - part.times[0]) * 1e6
    if scan.tr is not None:
        step = scan.tr / scan.readouts
        stamp = (frame * r + readout + where / s) * step * 1e3
        heads["acquisition_time_stamp"] = np.rint(stamp)
    heads["position"] = _position(scan)[where]
    flags = heads["flags"]
    for bit, hit in (
        (_FIRST_IN_SLICE, readout == 0),
        (_LAST_IN_SLICE, readout == r - 1),
        (_FIRST_IN_REPETITION, (readout == 0) & (where == 0)),
        (_LAST_IN_REPETITION, (readout == r - 1) & (where == s - 1)),
    ):
        flags[hit] |= _bit(bit)
    return _Block(heads, data, (k * np.array(scale)).astype(np.float32))


def _heads(n: int, scan: KSpace, samples: int, dims: int) -> NDArray[Any]:
    from ismrmrd.hdf5 import acquisition_header_dtype

    heads = np.zeros(n, dtype=acquisition_header_dtype)
    heads["version"] = 1
    heads["number_of_samples"] = samples
    heads["active_channels"] = heads["available_channels"] = scan.coils
    for word in range(-(-scan.coils // 64)):
        heads["channel_mask"][:, word] = (1 << min(64, scan.coils - 64 * word)) - 1
    heads["trajectory_dimensions"] = dims
    heads["sample_time_us"] = (scan.times[1] - scan.times[0]) * 1e6
    axes = np.array([-1.0, -1.0, 1.0])[:, None] * scan.grid.direction
    for i, name in enumerate(("read_dir", "phase_dir", "slice_dir")):
        heads[name] = axes[:, i]
    heads["position"] = _position(scan)[0]
    return heads


def _position(scan: KSpace) -> NDArray[np.float64]:
    """(slices, 3) in LPS mm: where r = 0."""
    n = scan.grid.shape
    if scan.dims == 3:
        index = np.array([[n[0] // 2, n[1] // 2, n[2] // 2]])
    else:
        index = np.array([[n[0] // 2, n[1] // 2, s] for s in range(scan.slices)])
    return scan.grid.to_world(index) * np.array([-1.0, -1.0, 1.0])


def _xml(scan: KSpace, interleaves: int | None, units: str | None, field_strength: float) -> bytes:
    root = ElementTree.Element("ismrmrdHeader", xmlns=_NAMESPACE)

    def put(parent: ElementTree.Element, **values: object) -> None:
        for tag, value in values.items():
            ElementTree.SubElement(parent, tag).text = str(value)

    system = ElementTree.SubElement(root, "acquisitionSystemInformation")
    put(
        system,
        systemVendor="medsr simulation",
        systemFieldStrength_T=field_strength,
        relativeReceiverNoiseBandwidth=1.0,
        receiverChannels=scan.coils,
    )
    conditions = ElementTree.SubElement(root, "experimentalConditions")
    put(conditions, H1resonanceFrequency_Hz=round(42.577478518e6 * field_strength))
    encoding = ElementTree.SubElement(root, "encoding")
    nx, ny, nz = scan.grid.shape
    fx, fy, fz = scan.grid.field_of_view
    if scan.dims == 2:
        nz, fz = 1, scan.slice_thickness or scan.grid.spacing[2]
    for name in ("encodedSpace", "reconSpace"):
        space = ElementTree.SubElement(encoding, name)
        put(ElementTree.SubElement(space, "matrixSize"), x=nx, y=ny, z=nz)
        put(ElementTree.SubElement(space, "fieldOfView_mm"), x=repr(fx), y=repr(fy), z=repr(fz))
    limits = ElementTree.SubElement(encoding, "encodingLimits")
    most = int(scan.interleaf.max()) + 1 if scan.interleaf is not None else scan.readouts
    for name, count, centre in (
        ("kspace_encoding_step_1", interleaves or most, 0),
        ("kspace_encoding_step_2", nz, nz // 2),
        ("slice", scan.slices, 0),
        ("repetition", scan.frames, 0),
    ):
        put(ElementTree.SubElement(limits, name), minimum=0, maximum=count - 1, center=centre)
    put(encoding, trajectory="spiral")
    description = ElementTree.SubElement(encoding, "trajectoryDescription")
    put(description, identifier="variable-density spiral")
    put(ElementTree.SubElement(description, "userParameterLong"), name="interleaves", value=interleaves or most)
    if units is not None:
        put(ElementTree.SubElement(description, "userParameterString"), name="trajectoryUnits", value=units)
    parameters = ElementTree.SubElement(root, "sequenceParameters")
    if scan.tr is not None:
        put(parameters, TR=repr(scan.tr / scan.readouts * 1e3))
    if scan.te is not None:
        put(parameters, TE=repr(scan.te * 1e3))
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="utf-8")


def _bit(flag: int) -> np.uint64:
    return np.uint64(1 << (flag - 1))
