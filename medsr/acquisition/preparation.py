"""From raw data to slices that a method can reconstruct: whitening, coils, delays, field, density."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsr.acquisition.compress import compression_matrix
from medsr.acquisition.groups import groups
from medsr.acquisition.lines import is_line, line_density, lines_to_fill
from medsr.acquisition.phase import frame_phases, growth_of, phases_against, turned_back
from medsr.acquisition.sensitivities import espirit
from medsr.acquisition.spiral import SpiralAcquisition, composite, density_of, readouts_to_fill
from medsr.acquisition.trajectory import delayed
from medsr.errors import InputError, UsageError
from medsr.measurement import KSpace
from medsr.operators.offresonance import TimeSegments
from medsr.operators.sense import Sense
from medsr.volume import Grid, Volume

TAIL = 1e-4
"""Share of the composite image's energy that coil compression may leave out: below the noise of any scan."""

PHASE_ROUNDS, PHASE_EPS = 2, 1e-3
"""Of fitting the frames' phases to the mean image, and the accuracy of its samples."""


@dataclass(frozen=True, eq=False)
class Preparation:
    """How raw data are prepared.

    coils : number of virtual coils; None for as many as hold all but 1e-4 of the signal's energy.
    delay : of the gradients in s, one number or one an axis.
    field : static field in Hz, on any grid; None for none.
    workers : threads.
    """

    coils: int | None = None
    delay: float | tuple[float, ...] | None = None
    field: Volume | None = None
    workers: int = 1


@dataclass(eq=False)
class Prepared:
    """A run whose slices are made ready one at a time.

    A slice's working copy is the one array of its size that is made: frames are whitened, turned and mixed in
    groups, and the scan's own arrays are never changed.

    scan : as read. notes : what was done and assumed, in words.
    """

    scan: KSpace
    how: Preparation = field(default_factory=Preparation)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        scan, how = self.scan, self.how
        if how.coils is not None and not 1 <= how.coils <= scan.coils:
            raise UsageError("no such number of virtual coils", got=how.coils, rule=f"1 to {scan.coils}")
        # turns and density are those of the trajectory as designed: a delay bends its turns, but moves no readout
        self._designed = scan
        k = scan.trajectory_of(0)
        apart = k.reshape(-1, scan.data.shape[-1] // scan.readouts, k.shape[-1])
        # of Cartesian lines; 0 for spirals
        self._lines = scan.grid.shape[1] if is_line(apart[0]) else 0
        in_plane = lines_to_fill(apart, self._lines) if self._lines else readouts_to_fill(apart[0, :, :2])
        if how.delay is not None:
            self.scan = scan = with_delay(scan, how.delay)
            self._say(f"trajectory delayed by {_microseconds(how.delay)}")
        self.partitions = scan.grid.shape[2] if scan.dims == 3 else 1
        self.copies = in_plane * self.partitions
        speed = self.copies / scan.readouts
        self._say(f"{scan.readouts} of {self.copies} readouts in a frame: acceleration {speed:.3g}")
        if scan.noise is None:
            self._say("no noise scan: the noise is taken as white and its level as unknown")
        else:
            self._say("coils pre-whitened by the noise scan")

    @property
    def noise(self) -> float:
        """Standard deviation of a sample's noise after whitening; 0 where it is not known."""
        return (
            0.0 if self.scan.noise is None else math.sqrt(float(np.trace(self.scan.noise).real) / self.scan.coils)
        )

    def __len__(self) -> int:
        return self.scan.slices

    def slice(self, index: int) -> SpiralAcquisition:
        """Slice `index` (the slab, index 0), ready."""
        chosen = slice(index, index + 1)
        scan, designed = self.scan.select(slices=chosen), self._designed.select(slices=chosen)
        trajectory, raw, whitener = scan.trajectory_of(0), scan.data[0], scan.whitener()
        phase = frame_phases(raw, trajectory, whitener)
        turns = np.zeros((scan.frames, 1)) if phase is None else phase[:, None]
        if phase is not None:
            self._say(f"phase of each frame taken out ({float(np.std(phase)):.2g} rad over time)")
        growth = growth_of(scan.times)[None]
        weights = self._density(designed)
        images = self._coil_images(scan, designed, weights, _Samples(raw, whitener, turns, growth))
        matrix, images, back = self._compressed(images)
        mix = whitener if matrix is None else matrix if whitener is None else matrix @ whitener
        data = _Samples(raw, mix, turns, growth).all()
        maps = _as_received(espirit(images), back)
        self._still(scan, weights, data, maps, images)
        return SpiralAcquisition(
            kspace=torch.from_numpy(data),
            trajectories=torch.from_numpy(trajectory.astype(np.float64)),
            weights=torch.from_numpy(weights),
            maps=maps,
            noise=self.noise,
            copies=self.copies,
            readouts=scan.readouts,
            tr=scan.tr,
            spacing=scan.grid.spacing[: scan.dims],
            duration=float(np.ptp(scan.times)),
            segments=self._segments(scan),
            workers=self.how.workers,
        )

    def forget_samples(self) -> None:
        """Lets go of the scan's samples: no slice can be prepared any more."""
        self.scan, self._designed = self.scan.without_samples(), self._designed.without_samples()

    def _density(self, designed: KSpace) -> NDArray[np.float32]:
        """Cells that each sample stands for where `copies` readouts share k-space, (frames, samples)."""
        k = designed.trajectory_of(0)
        if self._lines:
            apart = k.reshape(len(k), designed.readouts, -1, k.shape[-1])
            found = line_density(apart, self._lines, self.copies).reshape(k.shape[:2])
        else:
            found = density_of(k, designed.readouts, self.copies)
        found *= self.partitions
        return found

    def _coil_images(
        self, scan: KSpace, designed: KSpace, weights: NDArray[np.float32], samples: _Samples
    ) -> Tensor:
        """Fully sampled coil images: of the calibration where it fills k-space, else of the mean over time."""
        calibration = scan.calibration
        if calibration is not None and designed.calibration is not None and calibration.readouts >= self.copies:
            self._say("coil sensitivities: ESPIRiT of the calibration scan")
            still, flat = np.zeros((calibration.frames, 1)), np.ones((1, calibration.data.shape[-1]))
            samples = _Samples(calibration.data[0], samples.mix, still, flat)
            return self._mean_images(calibration, self._density(designed.calibration), samples, 1)
        self._say("coil sensitivities: ESPIRiT of the mean over time")
        if scan.frames * scan.readouts < self.copies:
            self._say("warning: the run is too short to fill k-space, and coil sensitivities will be poor")
        return self._mean_images(scan, weights, samples, scan.frames)

    def _mean_images(self, scan: KSpace, weights: NDArray[np.float32], samples: _Samples, frames: int) -> Tensor:
        """Gridded coil images of all frames together; the density weights are for `frames` that share k-space."""
        share = np.float32(self.copies / (frames * scan.readouts))
        trajectory = scan.trajectory_of(0)
        voxels = math.prod(scan.image_shape)
        total = torch.zeros(samples.coils, *scan.image_shape, dtype=torch.complex64)
        # enough samples at a time that gridding them outweighs the Fourier transform of the grid
        for some in samples.groups(least=2 * voxels // trajectory.shape[1]):
            total += composite(samples.part(some), trajectory[some], weights[some] * share, scan.image_shape)
        return total

    def _still(
        self,
        scan: KSpace,
        weights: NDArray[np.float32],
        data: NDArray[np.complex64],
        maps: Tensor,
        images: Tensor,
    ) -> None:
        """Takes what is left of each frame's phase, and its growth over the readout, out of `data`, in place.

        Fitted to the image that the coil maps came from, then to the gridded mean of all frames.
        """
        if scan.frames * scan.readouts < self.copies:
            return
        trajectory = scan.trajectory_of(0)
        power = maps.abs().square().sum(0).clamp(min=1e-6)
        courses = np.stack([np.ones_like(scan.times), scan.times - scan.times.min()])
        fitted = np.zeros((scan.frames, 2))
        turned = _Samples(data, None, fitted, courses)
        for turn_number in range(PHASE_ROUNDS):
            if turn_number > 0:
                images = self._mean_images(scan, weights, turned, scan.frames)
            mean = (maps.conj() * images).sum(0) / power
            for some in turned.groups():
                fitted[some] = phases_against(data[some], _seen(mean, maps, trajectory[some]), scan.times)
            fitted[:, 0] = np.unwrap(fitted[:, 0])
            fitted[:, 0] -= np.median(fitted[:, 0])
        for some in turned.groups():
            data[some] = turned.part(some)
        rest = float(np.std(fitted[:, 0]))
        self._say(f"rest of each frame's phase fitted and taken out ({rest:.2g} rad over time)")

    def _compressed(self, images: Tensor) -> tuple[NDArray[np.complex64] | None, Tensor, Tensor]:
        """The matrix (virtual, coils) to virtual coils, None where there are as many as coils; the images in them;
        and the matrix (coils, virtual) back to the channels as received."""
        received = torch.eye(len(images), dtype=torch.complex64)
        if self.scan.noise is not None:
            lower = np.linalg.cholesky(self.scan.noise / self.noise**2)
            received = torch.from_numpy(lower.astype(np.complex64))
        how = {"coils": self.how.coils} if self.how.coils is not None else {"tail": TAIL}
        matrix = compression_matrix(images, axis=0, **how).to(torch.complex64)
        if len(matrix) == len(images):
            return None, images, received
        self._say(f"{len(images)} coils compressed to {len(matrix)}")
        return matrix.resolve_conj().numpy(), torch.tensordot(matrix, images, dims=1), received @ matrix.mH

    def _segments(self, scan: KSpace) -> TimeSegments | None:
        if self.how.field is None:
            return None
        image = resampled(self.how.field, scan.grid)
        image = image if scan.dims == 3 else image[..., 0]
        times = scan.times - (scan.te if scan.te is not None else scan.times[0])
        segments = TimeSegments(
            torch.from_numpy(times), torch.from_numpy(image.astype(np.float64)), tolerance=1e-3
        )
        self._say(f"off-resonance of the field map in {len(segments)} time segments")
        return segments

    def _say(self, text: str) -> None:
        stem = text.split("(", 1)[0]
        if not any(note.startswith(stem) for note in self.notes):
            self.notes.append(text)


@dataclass(frozen=True, eq=False)
class _Samples:
    """``exp(-i Σ_j φ_tj c_jm) M y_t`` of raw data, made a group of frames at a time.

    raw : y, (frames, coils, samples). mix : M, (virtual, coils); None for the coils themselves. turns : φ,
    (frames, j). courses : c, (j, samples).
    """

    raw: NDArray[np.complex64]
    mix: NDArray[np.complex64] | None
    turns: NDArray[np.float64]
    courses: NDArray[np.float64]

    @property
    def coils(self) -> int:
        return self.raw.shape[1] if self.mix is None else len(self.mix)

    def groups(self, least: int = 1) -> Iterator[slice]:
        return groups(len(self.raw), self.raw.shape[1] * self.raw.shape[2], least)

    def part(self, some: slice) -> NDArray[np.complex64]:
        """Of some frames."""
        mixed = self.raw[some] if self.mix is None else self.mix @ self.raw[some]
        return turned_back(mixed, self.turns[some], self.courses)

    def all(self) -> NDArray[np.complex64]:
        """A copy of all frames."""
        out = np.empty((len(self.raw), self.coils, self.raw.shape[2]), dtype=np.complex64)
        for some in self.groups():
            out[some] = self.part(some)
        return out


def _seen(mean: Tensor, maps: Tensor, trajectory: NDArray[np.floating]) -> NDArray[np.complex64]:
    """What a still image would have given on each frame's trajectory, (frames, coils, samples)."""
    seen = np.empty((len(trajectory), len(maps), trajectory.shape[1]), dtype=np.complex64)
    for t, k in enumerate(trajectory):
        seen[t] = Sense(torch.as_tensor(k, dtype=torch.float64), maps, eps=PHASE_EPS).forward(mean).numpy()
    return seen


def with_delay(scan: KSpace, delay: float | Sequence[float]) -> KSpace:
    """The scan with the trajectory that was played out by gradients that came late by `delay` s (an axis)."""
    length, dims = scan.data.shape[-1] // scan.readouts, scan.dims
    lag = np.broadcast_to(np.asarray(delay, dtype=np.float64), (2,)) if np.ndim(delay) == 0 else np.asarray(delay)
    if len(lag) < dims:  # partitions are encoded before the readout
        lag = np.concatenate([lag, np.zeros(dims - len(lag))])
    late = np.empty(scan.trajectory.shape, dtype=np.float32)
    on_time, out = (k.reshape(-1, scan.readouts, length, dims) for k in (scan.trajectory, late))
    for some in groups(len(out), 8 * dims * scan.data.shape[-1]):
        out[some] = delayed(on_time[some].astype(np.float64), scan.times[:length], lag.tolist()[:dims])
    calibration = scan.calibration
    return replace(
        scan,
        trajectory=late,
        calibration=None if calibration is None else with_delay(calibration, delay),
    )


def resampled(volume: Volume, grid: Grid) -> NDArray[np.float32]:
    """`volume` (x, y, z) at the voxel centres of `grid`, trilinear; beyond its edge the nearest value.

    Raises
    ------
    InputError
        if it is a series, or does not reach the grid's middle.
    """
    from scipy.ndimage import map_coordinates

    if volume.data.ndim != 3:
        raise InputError(f"{volume.source or 'the field map'}: a field map is one volume", got=volume.data.shape)
    index = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float64) for n in grid.shape), indexing="ij"), axis=-1)
    at = (grid.to_world(index) - volume.grid.affine[:3, 3]) @ np.linalg.inv(volume.grid.affine[:3, :3]).T
    middle = at.reshape(-1, 3).mean(axis=0)
    if (middle < -0.5).any() or (middle > np.array(volume.grid.shape) - 0.5).any():
        raise InputError(
            f"{volume.source or 'the field map'}: the field map lies elsewhere than the scan",
            got=f"centres at {np.round(volume.grid.centre)} and {np.round(grid.centre)} mm",
            hint="give a map in the scanner's coordinates, in Hz",
        )
    return map_coordinates(volume.data, np.moveaxis(at, -1, 0), order=1, mode="nearest").astype(np.float32)


def _as_received(maps: Tensor, back: Tensor) -> Tensor:
    """Maps scaled so that their root sum of squares is 1 in the channels as they were received.

    Whitening mixes the channels: a sum of squares of the mixtures would shade the image by the noise's
    correlations, which have nothing to do with the head.

    maps : (virtual, *shape). back : (coils, virtual) from virtual coils to the channels.
    """
    size = torch.tensordot(back, maps, dims=1).abs().square().sum(0).sqrt()
    return torch.where(size > 0, maps / torch.where(size > 0, size, torch.ones_like(size)), torch.zeros_like(maps))


def _microseconds(delay: float | Sequence[float]) -> str:
    return ", ".join(f"{1e6 * d:.3g}" for d in np.atleast_1d(delay)) + " µs"
