"""Which acquisition of an MRD file is what: noise, calibration, or which slice, frame and readout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.io.mrd_source import Heads

_NOISE, _CALIBRATION, _CALIBRATION_TOO, _REVERSE = 19, 20, 21, 22
_COMPRESSED = (53, 54, 55, 56)
_SKIPPED = {
    23: "navigator",
    24: "phase correction",
    26: "feedback",
    27: "dummy",
    28: "feedback",
    29: "surface coil correction",
    30: "phase stabilisation",
    31: "phase stabilisation",
}


@dataclass(frozen=True)
class Kinds:
    """Row numbers of the acquisitions of each kind."""

    imaging: NDArray[np.int64]
    calibration: NDArray[np.int64]
    noise: NDArray[np.int64]


def sorted_out(heads: Heads, path: Path, notes: list[str]) -> Kinds:
    flags = heads["flags"].astype(np.uint64)

    def has(bit: int) -> NDArray[np.bool_]:
        return (flags >> np.uint64(bit - 1)) & np.uint64(1) == 1

    noise = has(_NOISE)
    skipped = np.zeros(len(heads), dtype=bool)
    for bit, name in _SKIPPED.items():
        hit = has(bit) & ~noise & ~skipped
        if hit.any():
            notes.append(f"{int(hit.sum())} {name} readouts were left out")
        skipped |= hit
    calibration = has(_CALIBRATION) & ~has(_CALIBRATION_TOO) & ~noise & ~skipped
    imaging = ~(noise | skipped | calibration)
    if not imaging.any():
        raise InputError(f"{path}: no imaging readouts", got=f"{len(heads)} acquisitions, none for an image")
    if (has(_REVERSE) & imaging).any():
        raise InputError(f"{path}: readouts are flagged as reversed", rule="spiral and radial scans only")
    if any((has(bit) & (imaging | calibration | noise)).any() for bit in _COMPRESSED):
        raise InputError(f"{path}: the samples are compressed", hint="convert the file to plain MRD")
    return Kinds(*(np.flatnonzero(m) for m in (imaging, calibration, noise)))


def of_contrast(heads: Heads, index: NDArray[np.int64], contrast: int, path: Path) -> NDArray[np.int64]:
    counters = heads["idx"][index]
    present = np.unique(counters["contrast"])
    if contrast not in present:
        raise InputError(f"{path}: no such contrast", got=contrast, rule=f"one of {present.tolist()}")
    index = index[counters["contrast"] == contrast]
    for name in ("average", "phase", "set"):
        values = np.unique(heads["idx"][index][name])
        if len(values) > 1:
            raise InputError(
                f"{path}: the scan has several values of '{name}'",
                got=f"{len(values)} of them",
                rule="one series of repetitions",
                hint="split the file",
            )
    return index


def frames_of(heads: Heads, index: NDArray[np.int64], path: Path, notes: list[str]) -> NDArray[np.int64]:
    """Row numbers as (slices by number, frames by repetition, readouts by time)."""
    counters = heads["idx"][index]
    slice_ids, where = np.unique(counters["slice"], return_inverse=True)
    repetitions, when = np.unique(counters["repetition"], return_inverse=True)
    counts = np.zeros((len(slice_ids), len(repetitions)), dtype=np.int64)
    np.add.at(counts, (where, when), 1)
    readouts = int(counts[0, 0])
    frames = len(repetitions)
    if frames > 1 and (counts[:, -1] < readouts).any() and (counts[:, :-1] == readouts).all():
        frames -= 1
        notes.append("the last frame is incomplete and was left out")
    if (counts[:, :frames] != readouts).any():
        s, f = np.argwhere(counts[:, :frames] != readouts)[0]
        raise InputError(
            f"{path}: the frames have different numbers of readouts",
            got=f"{int(counts[s, f])} in slice {int(slice_ids[s])}, repetition {int(repetitions[f])}",
            rule=f"{readouts}, as in the first frame",
        )
    keep = when < frames
    order = np.lexsort((index[keep], when[keep], where[keep]))
    table = index[keep][order].reshape(len(slice_ids), frames, readouts)
    steps = heads["idx"][table]
    names = ["kspace_encode_step_1", "kspace_encode_step_2", "segment"]
    key = np.stack([steps[n].astype(np.int64) for n in names], axis=-1)
    key = (key[..., 0] << 32) + (key[..., 1] << 16) + key[..., 2]
    if readouts > 1 and (np.diff(np.sort(key, axis=-1), axis=-1) == 0).any():
        raise InputError(f"{path}: a frame holds the same interleaf twice", hint="split the file by average")
    return table
