"""A spiral fMRI run with a known answer: raw data, truth, activation and design."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsr.acquisition.trajectory import (
    GradientLimits,
    Spiral,
    cyclic_angles,
    delayed,
    density_weights,
    golden_angles,
    rotated,
    variable_density_spiral,
)
from medsr.errors import InputError, UsageError
from medsr.io import write_volume
from medsr.io.atomic import Transaction
from medsr.io.mrd_write import write_mrd
from medsr.measurement import KSpace
from medsr.simulation.encoding import low_pass
from medsr.simulation.head import Head, Plan, plan
from medsr.simulation.paradigm import Event, events_tsv, paradigm, response
from medsr.simulation.physiology import Physiology
from medsr.simulation.protocol import Protocol
from medsr.simulation.scene import Scene, Surroundings
from medsr.volume import ScanFacts, Volume

NOISE_SAMPLES = 16384
"""Length of the noise scan."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True, eq=False)
class SimulatedRun:
    """Raw data and what they came from.

    kspace : with the noise covariance estimated from `noise_scan`, as from a file.
    noise_scan : (coils, samples).
    truth : magnitude of each frame on the reconstruction's grid, (frames, x, y, slices): what an ideal, fully
        sampled scan of that matrix shows at the echo time, movement and physiology included, received with
        sensitivities whose squares add up to 1 (the coils' shading stays in the image).
    activation : percent signal change of each voxel of the truth at the response's peak.
    field : static field in Hz.
    events : of the task.
    noise_level : standard deviation of the complex noise of a sample, mean over coils.
    """

    kspace: KSpace
    noise_scan: NDArray[np.complex64]
    truth: Volume
    activation: Volume
    field: Volume
    events: tuple[Event, ...]
    noise_level: float
    protocol: Protocol


def simulate_spiral_fmri(
    volume: Volume,
    protocol: Protocol | None = None,
    *,
    spiral: Spiral | None = None,
    progress: Progress | None = None,
) -> SimulatedRun:
    """Raw data of a run: ``y_t = A_t (x (1 + bold a h(t) + physiology(t))) + n`` of a moving head.

    The object x lives on a grid at least twice as fine as the reconstruction's and is encoded by a non-uniform
    FFT with T2* decay and off-resonance along the readout (`Encoder`); nothing of the reconstruction's own
    operators is used. All slices are taken at the same instant: slice timing is left out. Movement within the
    plane turns and shifts the slice, movement along its normal is interpolated between planes 1 mm apart; field
    and coils stay where they are.

    Parameters
    ----------
    volume : a head, any grid.
    protocol : what to scan.
    spiral : an interleaf to use in place of the designed one, e.g. a measured one; its matrix, field of view and
        interleaves must be the protocol's.
    progress : called with the fraction done and a word.

    Raises
    ------
    InputError
        if the image is empty where the slices lie.
    UsageError
        if the spiral does not fit the protocol.
    """
    p = protocol or Protocol()
    leaf = _spiral(p, spiral)
    spacing = p.slice_thickness + p.slice_gap
    where = plan(volume, p.matrix, p.fov, p.slices, p.slice_thickness, spacing, p.slice_offset, p.oversampling)
    head = Head(volume, p.te, p.contrast, p.contrast_variation, p.stream("contrast"))
    planes = [head.plane(where, s) for s in range(p.slices)]
    if not any((plane.tissue > 0.5).sum() > 100 for plane in planes):
        raise InputError("there is no tissue where the slices lie", hint="choose another slice offset")
    around = Surroundings(p, where, planes)
    events = paradigm(p.task, p.frames * p.tr, p.block, p.seed)
    shots = p.frames * p.readouts
    angles = golden_angles(shots) if p.order == "golden" else cyclic_angles(p.interleaves, shots)
    run = _Run(p, leaf, rotated(leaf.k, angles), events)
    truth = np.empty((p.frames, p.matrix, p.matrix, p.slices), dtype=np.float32)
    activation, statics = (np.empty((p.matrix, p.matrix, p.slices), dtype=np.float32) for _ in range(2))
    for s in range(p.slices):
        scene = Scene(p, around, s, run.body, leaf)
        activation[..., s], statics[..., s] = scene.activation(), scene.static_field()
        run.calibrate(scene, s)
        for f in range(p.frames):
            truth[f, ..., s] = run.acquire(scene, s, f)
            if progress is not None:
                progress((s * p.frames + f + 1) / (p.slices * p.frames), "simulating")
    noise_level = _noise_level(p, leaf, truth)
    lower = noise_level * np.linalg.cholesky(around.psi)
    noise_scan = run.add_noise(lower.astype(np.complex64), p.stream("noise"))
    facts = ScanFacts(p.slice_thickness, "2D", 2, p.tr, p.te)
    return SimulatedRun(
        run.kspace(where, noise_scan),
        noise_scan,
        Volume(truth, where.grid, facts),
        Volume(activation, where.grid, facts),
        Volume(statics, where.grid, facts),
        events,
        noise_level,
        p,
    )


def save_run(run: SimulatedRun, path: str | Path, *, force: bool = False) -> list[Path]:
    """Write a run: raw.h5, raw_truth.nii.gz, raw_activation.nii.gz, raw_fieldmap.nii.gz, raw_events.tsv and
    raw_protocol.json, all or none.

    Raises
    ------
    OutputError
        if one of them exists and `force` is not given, or cannot be written.
    UsageError
        if `path` does not end in .h5.
    """
    raw, truth, activation, field, events, protocol = written = run_files(path)
    with Transaction(force=force) as transaction:
        write_mrd(run.kspace, transaction.path(raw), noise=run.noise_scan, interleaves=run.protocol.interleaves)
        for target, image in ((truth, run.truth), (activation, run.activation), (field, run.field)):
            write_volume(image, transaction.path(target))
        for target, text in (
            (events, events_tsv(run.events)),
            (protocol, json.dumps(dataclasses.asdict(run.protocol), indent=2) + "\n"),
        ):
            transaction.path(target).write_text(text, encoding="utf-8")
    return list(written)


def run_files(path: str | Path) -> tuple[Path, Path, Path, Path, Path, Path]:
    """Names of a run's files: raw data, truth, activation, field map, events, protocol.

    Raises
    ------
    UsageError
        if `path` does not end in .h5.
    """
    path = Path(path)
    if path.suffix != ".h5":
        raise UsageError("raw data are written as .h5", got=path.name)
    stem = path.name[: -len(".h5")]
    truth, activation, field = (
        path.with_name(f"{stem}_{name}.nii.gz") for name in ("truth", "activation", "fieldmap")
    )
    return (
        path,
        truth,
        activation,
        field,
        path.with_name(f"{stem}_events.tsv"),
        path.with_name(f"{stem}_protocol.json"),
    )


class _Run:
    """The samples as they come in.

    data : (slices, frames, coils, readouts, samples); reference : the same of the calibration, one frame.
    """

    def __init__(self, p: Protocol, leaf: Spiral, k: NDArray[np.float64], events: tuple[Event, ...]) -> None:
        self.p, self.leaf, self.k = p, leaf, k
        self.k_reference = rotated(leaf.k, cyclic_angles(p.interleaves))
        self._played = delayed(k, leaf.times, p.delay)
        self._played_reference = delayed(self.k_reference, leaf.times, p.delay)
        n = len(leaf.times)
        self.data = np.empty((p.slices, p.frames, p.coils, p.readouts, n), dtype=np.complex64)
        self.reference = np.zeros((p.slices, 1, p.coils, p.interleaves, n), dtype=np.complex64)
        self.body = Physiology(p.levels, p.frames * p.tr, p.stream("physiology"))
        times = np.arange(len(k), dtype=np.float64) * (p.tr / p.readouts)
        self._task = response(events, times)
        self._courses, self._moves = self.body.courses(times), self.body.motion(times)
        self._shifts = self.body.field_shift(times)

    def calibrate(self, scene: Scene, s: int) -> None:
        """All interleaves of the head at rest."""
        if self.p.calibration:
            still = scene.image(0.0, np.zeros(len(self._courses)), np.zeros(6))
            for i in range(self.p.interleaves):
                self.reference[s, 0, :, i] = scene.encoder(still, self._played_reference[i])

    def acquire(self, scene: Scene, s: int, f: int) -> NDArray[np.float64]:
        """The readouts of a frame; the truth (n, n), the mean over them."""
        p = self.p
        shown = np.zeros((p.matrix, p.matrix))
        for r in range(p.readouts):
            t = f * p.readouts + r
            image = scene.image(self._task[t], self._courses[:, t], self._moves[:, t])
            turn = np.exp(-2j * math.pi * self._shifts[t] * (p.te + self.leaf.times))
            self.data[s, f, :, r] = scene.encoder(image, self._played[t]) * turn
            shown += np.abs(low_pass(image, p.matrix))
        return shown / p.readouts

    def add_noise(self, lower: NDArray[np.complex64], rng: np.random.Generator) -> NDArray[np.complex64]:
        """Noise of covariance ``lower lowerᴴ`` on everything; the noise scan (coils, samples)."""
        scan = _noise(lower, (self.p.coils, NOISE_SAMPLES), rng)
        for s in range(self.p.slices):
            for f in range(self.p.frames):
                self.data[s, f] += _noise(lower, self.data.shape[2:], rng)
            self.reference[s, 0] += _noise(lower, self.reference.shape[2:], rng)
        return scan

    def kspace(self, where: Plan, noise_scan: NDArray[np.complex64]) -> KSpace:
        """What a file would hold."""
        p = self.p
        shots = np.arange(len(self.k)) % (65536 if p.order == "golden" else p.interleaves)
        scan = self._part(where, self.data, self.k, shots.reshape(p.frames, p.readouts))
        calibration = None
        if p.calibration:
            calibration = self._part(where, self.reference, self.k_reference, np.arange(p.interleaves)[None])
        wide = noise_scan.astype(np.complex128)
        return dataclasses.replace(scan, noise=wide @ wide.conj().T / NOISE_SAMPLES, calibration=calibration)

    def _part(
        self, where: Plan, data: NDArray[np.complex64], k: NDArray[np.float64], number: NDArray[np.int64]
    ) -> KSpace:
        slices, frames, coils, readouts, samples = data.shape
        return KSpace(
            data.reshape(slices, frames, coils, readouts * samples),
            k.reshape(frames, readouts * samples, 2).astype(np.float32),
            np.tile(self.p.te + self.leaf.times, readouts),
            where.grid,
            readouts,
            np.broadcast_to(number, (slices, frames, readouts)).astype(np.int64),
            tr=self.p.tr,
            te=self.p.te,
            slice_thickness=self.p.slice_thickness,
        )


def _spiral(p: Protocol, given: Spiral | None) -> Spiral:
    if given is None:
        return variable_density_spiral(
            p.matrix, p.fov / 1e3, p.interleaves, p.centre_density, GradientLimits(p.gradient, p.slew), p.dwell
        )
    if (given.matrix, given.interleaves) != (p.matrix, p.interleaves) or not math.isclose(given.fov, p.fov / 1e3):
        raise UsageError(
            "the spiral does not fit the protocol",
            got=f"matrix {given.matrix}, {given.fov * 1e3:.4g} mm, {given.interleaves} interleaves",
            rule=f"matrix {p.matrix}, {p.fov:.4g} mm, {p.interleaves} interleaves",
        )
    return given


def _noise_level(p: Protocol, leaf: Spiral, truth: NDArray[np.float32]) -> float:
    """Noise of a sample that leaves `snr` in a frame of all interleaves, weighted by density.

    ``x̂(r) = 1/n Σ_j w_j y_j exp(2πi k_j·r)`` has complex variance ``σ² Σ w² / n²``; half of it is in the
    magnitude.
    """
    mean = truth.mean(axis=0)
    signal = float(mean[mean > 0.25 * np.percentile(mean, 99)].mean())
    weights = density_weights(leaf)
    spread = math.sqrt(p.interleaves * float((weights**2).sum())) / p.matrix
    return signal * math.sqrt(2) / (p.snr * spread)


def _noise(
    lower: NDArray[np.complex64], shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.complex64]:
    """Complex noise (coils, ...) of covariance ``lower lowerᴴ``."""
    white = rng.standard_normal((2, *shape), dtype=np.float32)
    mixed = (white[0] + 1j * white[1]).reshape(shape[0], -1) * np.float32(math.sqrt(0.5))
    return (lower @ mixed).reshape(shape)
