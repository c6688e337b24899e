"""Reading raw data from MRD (ISMRMRD) files: `KSpace` from an .h5."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError, MemoryLimitError
from medsr.io import mrd_units
from medsr.io.hdf5 import open_hdf5
from medsr.io.mrd_geometry import Placing, slice_geometry
from medsr.io.mrd_header import Encoding, MrdHeader
from medsr.io.mrd_rows import Rows, agreed
from medsr.io.mrd_sort import frames_of, of_contrast, sorted_out
from medsr.io.mrd_source import Hdf5Source, Heads
from medsr.io.mrd_worker import worker_source
from medsr.measurement import KSpace
from medsr.volume import Grid


def read_mrd(
    path: str | Path,
    *,
    trajectory: NDArray[Any] | None = None,
    trajectory_units: str | None = None,
    contrast: int = 0,
    slices: slice = slice(None),
    frames: slice = slice(None),
    tr: float | None = None,
    max_bytes: int | None = None,
    trusted: bool = False,
) -> KSpace:
    """The raw data of one scan.

    A frame is a repetition; its readouts keep the order in which they were acquired. Slices are ordered along
    the slice direction, whatever their numbers. Noise scans become a covariance, scaled to the readout's
    bandwidth; calibration scans become `KSpace.calibration`; navigators and their like are counted in the
    notes and left out. An incomplete last frame is left out, with a note.

    Parameters
    ----------
    path : an .h5 file.
    trajectory : (interleaves, samples, dims) in cycles per field of view of the reconstruction, looked up by
        `kspace_encode_step_1`; for files that store none, or to overrule theirs. Cartesian lines need none: where
        they lie follows from their numbers.
    trajectory_units : of the stored trajectory, one of `mrd_units.UNITS`; detected unless given.
    contrast : which echo of a multi-echo scan.
    slices, frames : which to read, in order of position and of time.
    tr : time from frame to frame in s, to overrule the header's.
    max_bytes : refuse if the samples need more memory than this.
    trusted : read in this process; otherwise a child process does, because HDF5 can crash on a damaged file.

    Raises
    ------
    InputError
        if the file is not an MRD scan that can be read safely and unambiguously, or an echo-planar one.
    GeometryError
        if positions and directions are not those of evenly spaced, parallel slices or of a slab.
    MemoryLimitError
        if the samples need more than `max_bytes`.
    """
    path = Path(path)
    options = (trajectory, trajectory_units, contrast, slices, frames, tr, max_bytes)
    if trusted:
        with open_hdf5(path) as file:
            return _read(Rows(Hdf5Source(file, path), path), *options)
    with worker_source(path) as source:
        return _read(Rows(source, path), *options)


def _read(
    rows: Rows,
    given: NDArray[Any] | None,
    units: str | None,
    contrast: int,
    slices: slice,
    frames: slice,
    tr: float | None,
    max_bytes: int | None,
) -> KSpace:
    path, heads, notes = rows.path, rows.heads, list[str]()
    kinds = sorted_out(heads, path, notes)
    imaging = of_contrast(heads, kinds.imaging, contrast, path)
    encoding = _encoding(rows.header, heads[imaging], path)
    slab = encoding.matrix[2] > 1
    table = frames_of(heads, imaging, path, notes)
    affine, order, thickness = slice_geometry(heads[table[:, 0, 0]], encoding, slab, path, notes)
    table = table[order]
    if not slab and len(range(*slices.indices(len(table)))) < len(table):
        affine = Placing(affine.matrix, affine.first + affine.step * slices.indices(len(table))[0], affine.step)
    kept = table[slices if not slab else slice(None)][:, frames]
    if not kept.size:
        raise InputError(
            f"{path}: no slice or no frame is selected", got=f"{slices}, {frames} of {table.shape[:2]}"
        )
    head = agreed(heads[kept.ravel()], path)
    need = kept.size * int(head["number_of_samples"]) * (8 * int(head["active_channels"]) + 12) * 2
    if max_bytes is not None and need > max_bytes:
        raise MemoryLimitError(
            f"{path}: the raw data need more memory than allowed",
            got=f"{need / 2**30:.2f} GiB",
            rule=f"at most {max_bytes / 2**30:.2f} GiB",
            hint="read fewer slices or frames at a time",
        )
    stride = range(*slices.indices(len(table))).step if not slab else 1
    grid = affine.grid(encoding, len(kept), stride)
    place = _Placement(rows, encoding, slab, given, units)
    scan = place.assemble(kept, grid, notes)
    calibration = None
    if kinds.calibration.size:
        calibration = _calibration(place, kinds.calibration, kept, grid, heads, notes)
    return replace(
        scan,
        tr=tr if tr is not None else _frame_tr(rows.header, heads, table[0], notes),
        slice_thickness=thickness,
        noise=_noise(rows, kinds.noise, head, notes),
        calibration=calibration,
        notes=tuple(notes),
        source=str(path),
    )


def _encoding(header: MrdHeader, heads: Heads, path: Path) -> Encoding:
    refs = np.unique(heads["encoding_space_ref"])
    if len(refs) > 1 or int(refs[0]) >= len(header.encodings):
        raise InputError(f"{path}: the readouts do not share one encoding space", got=refs.tolist())
    encoding = header.encodings[int(refs[0])]
    if encoding.trajectory == "epi":
        raise InputError(
            f"{path}: echo-planar scans are not read",
            got="lines that run to and fro, and need a correction of their own",
            rule="spirals, other stored trajectories, Cartesian lines",
        )
    return encoding


class _Placement:
    """Turns rows into k-space arrays: units, partitions, times."""

    def __init__(
        self, rows: Rows, encoding: Encoding, slab: bool, given: NDArray[Any] | None, units: str | None
    ) -> None:
        self.rows, self.encoding, self.slab, self.units = rows, encoding, slab, units
        self.given = None if given is None else np.asarray(given)

    def assemble(self, table: NDArray[np.int64], grid: Grid, notes: list[str]) -> KSpace:
        """The k-space of rows (slices, frames, readouts)."""
        heads = self.rows.heads
        data, stored = self.rows.samples(table.ravel())
        s, f, r = table.shape
        coils, n = data.shape[1:]
        interleaf = heads["idx"]["kspace_encode_step_1"][table].astype(np.int64)
        head = heads[table[0, 0, 0]]
        te = self.rows.header.te
        centre = int(head["center_sample"]) - int(head["discard_pre"])
        k = self._positions(
            stored, interleaf.ravel(), heads["idx"]["kspace_encode_step_2"][table].ravel(), n, centre, notes
        )
        dims = k.shape[-1]
        k = k.reshape(s, f, r * n, dims)
        same = s == 1 or bool((k == k[:1]).all())
        dwell = float(head["sample_time_us"]) * 1e-6
        if not (np.isfinite(dwell) and 0 < dwell < 1e-2):
            raise InputError(f"{self.rows.path}: the sample time is absurd", got=f"{dwell * 1e6} us")
        if not te:
            notes.append("the header gives no echo time: sample times start at 0")
        echo = te[min(int(head["idx"]["contrast"]), len(te) - 1)] if te else None
        times = (echo or 0.0) + (np.arange(n) - centre) * dwell
        return KSpace(
            data=np.ascontiguousarray(data.reshape(s, f, r, coils, n).transpose(0, 1, 3, 2, 4)).reshape(
                s, f, coils, r * n
            ),
            trajectory=np.ascontiguousarray(k[0] if same else k),
            times=np.tile(times, r),
            grid=grid,
            readouts=r,
            interleaf=interleaf,
            te=echo,
        )

    def _positions(
        self,
        stored: NDArray[np.float32] | None,
        interleaf: NDArray[np.int64],
        partition: NDArray[Any],
        samples: int,
        centre: int,
        notes: list[str],
    ) -> NDArray[np.float32]:
        path, e = self.rows.path, self.encoding
        fov = np.array(e.recon_fov) / 1e3
        if self.given is not None:
            k = self._given(interleaf, samples)
        elif stored is None and e.trajectory == "cartesian":
            k = self._lines(interleaf, samples, centre)
            notes.append("Cartesian lines, placed by their numbers")
        elif stored is None:
            raise InputError(
                f"{path}: the file stores no trajectory",
                got=f"description '{e.described.get('identifier', '')}'",
                hint="give the trajectory",
            )
        else:
            k = self._in_cycles(stored, fov, notes)
        if self.slab and k.shape[-1] == 2:
            middle = e.matrix[2] // 2 if e.partition_centre is None else e.partition_centre
            kz = (partition.astype(np.float64) - middle) * (e.recon_fov[2] / e.fov[2])
            k = np.concatenate([k, np.broadcast_to(kz[:, None, None], (*k.shape[:2], 1))], axis=-1)
        if not self.slab:
            k = k[..., :2]
        reach = np.abs(k).max(axis=(0, 1)) / (np.array(e.recon_matrix[: k.shape[-1]]) / 2)
        if reach[:2].max() > 1.05:
            notes.append(f"k-space was sampled out to {reach[:2].max():.2f} times what the matrix holds")
        return k.astype(np.float32)

    def _lines(self, number: NDArray[np.int64], samples: int, centre: int) -> NDArray[np.float64]:
        """Of Cartesian lines, (lines, samples, 2): steps of one over the encoded field of view."""
        e = self.encoding
        middle = e.matrix[1] // 2 if e.line_centre is None else e.line_centre
        x = (np.arange(samples, dtype=np.float64) - centre) * (e.recon_fov[0] / e.fov[0])
        y = (number - middle) * (e.recon_fov[1] / e.fov[1])
        return np.stack(np.broadcast_arrays(x, y[:, None]), axis=-1)

    def _given(self, interleaf: NDArray[np.int64], samples: int) -> NDArray[np.float64]:
        assert self.given is not None
        shape = self.given.shape
        if len(shape) != 3 or shape[1] != samples or shape[2] not in (2, 3) or interleaf.max() >= shape[0]:
            raise InputError(
                "the given trajectory does not fit the scan",
                got=f"{shape} for {samples} samples of interleaves up to {int(interleaf.max())}",
                rule="(interleaves, samples, 2 or 3)",
            )
        if not np.isfinite(self.given).all():
            raise InputError("the given trajectory is not finite")
        return self.given.astype(np.float64)[interleaf]

    def _in_cycles(
        self, stored: NDArray[np.float32], fov: NDArray[np.float64], notes: list[str]
    ) -> NDArray[np.float64]:
        e, path = self.encoding, self.rows.path
        dims = stored.shape[-1]
        if dims not in (2, 3):
            raise InputError(f"{path}: the trajectory has {dims} dimensions", rule="2 or 3")
        if dims == 3 and not self.slab and np.abs(stored[..., 2]).max() > 0:
            notes.append("the trajectory's third column was ignored: the scan has one partition")
        if self.units is None:
            said = e.described.get("trajectoryUnits", "")
            if said in mrd_units.UNITS:
                self.units = said
                notes.append(f"trajectory units: {said} (stated in the file)")
            else:
                largest = np.abs(stored[..., :2]).max(axis=(0, 1)).astype(float).tolist()
                self.units = mrd_units.detect(largest, e.matrix[:2], [f / 1e3 for f in e.fov[:2]])
                notes.append(f"trajectory units: {self.units} (detected from the largest position)")
        elif self.units not in mrd_units.UNITS:
            raise InputError(
                "no such trajectory units", got=self.units, rule=f"one of {', '.join(mrd_units.UNITS)}"
            )
        scale = [
            mrd_units.per_metre(self.units, e.matrix[a], e.fov[a] / 1e3) * fov[a]
            for a in range(3 if self.slab else 2)
        ]
        return stored[..., : len(scale)].astype(np.float64) * np.array(scale[:dims])


def _calibration(
    place: _Placement,
    index: NDArray[np.int64],
    kept: NDArray[np.int64],
    grid: Grid,
    heads: Heads,
    notes: list[str],
) -> KSpace | None:
    """All calibration readouts of each slice as one frame; None, with a note, where they do not fit the scan."""
    numbers = heads["idx"]["slice"][kept[:, 0, 0]]
    columns = [index[heads["idx"]["slice"][index] == s] for s in numbers]
    if len({len(c) for c in columns}) != 1 or not len(columns[0]):
        notes.append("the calibration readouts do not cover the slices evenly and were left out")
        return None
    table = np.stack(columns)[:, None, :]
    head, image = heads[table[0, 0, 0]], heads[kept[0, 0, 0]]
    if any(head[n] != image[n] for n in ("active_channels", "encoding_space_ref", "trajectory_dimensions")):
        notes.append("the calibration readouts have another encoding or other coils and were left out")
        return None
    return place.assemble(table, grid, [])


def _noise(rows: Rows, index: NDArray[np.int64], image: Any, notes: list[str]) -> NDArray[np.complex128] | None:
    if not index.size:
        notes.append("no noise scan: the coils are taken as they are")
        return None
    data, _ = rows.samples(index)
    coils = data.shape[1]
    if coils != int(image["active_channels"]):
        raise InputError(
            f"{rows.path}: the noise scan has other coils", got=coils, rule=str(image["active_channels"])
        )
    samples = data.transpose(1, 0, 2).reshape(coils, -1).astype(np.complex128)
    if samples.shape[1] < 4 * coils:
        notes.append("the noise scan is too short to tell the covariance: the coils are taken as they are")
        return None
    covariance = samples @ samples.conj().T / samples.shape[1]
    # noise power goes with bandwidth: from that of the noise scan to that of the readouts
    there, here = float(rows.heads["sample_time_us"][index[0]]), float(image["sample_time_us"])
    bandwidth = rows.header.noise_bandwidth or 1.0
    return covariance * ((there / here if there > 0 and here > 0 else 1.0) / bandwidth)


def _frame_tr(header: MrdHeader, heads: Heads, table: NDArray[np.int64], notes: list[str]) -> float | None:
    """Time from frame to frame, in s: the header's TR times the readouts of a frame.

    Some converters store the frame's own TR instead; the time stamps (in ms, or in Siemens' 2.5 ms) decide.
    """
    if not header.tr:
        notes.append("the header gives no TR")
        return None
    readouts = table.shape[1]
    candidates = [header.tr[0] * readouts, header.tr[0]]
    stamps = heads["acquisition_time_stamp"][table[:, 0]].astype(np.float64)
    if len(stamps) > 1 and stamps[-1] > stamps[0]:
        interval = (stamps[-1] - stamps[0]) / (len(stamps) - 1)
        for candidate in candidates:
            if any(abs(interval * tick / candidate - 1) < 0.05 for tick in (1e-3, 2.5e-3)):
                return candidate
        notes.append(f"the time stamps do not agree with a TR of {candidates[0]:.4g} s a frame")
    return candidates[0]
