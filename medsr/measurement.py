"""Raw data of a scan: k-space samples, where and when they were taken, and the grid to reconstruct on.

Conventions: positions in k-space are in cycles per field of view of the grid; a sample is
``y(k) = 1/√N Σ_r x(r) S(r) exp(-2πi k·r)`` with r in fields of view, r = 0 at voxel index n // 2 of each axis,
as in `medsr.operators.nufft` (the scale of a scanner's raw data is arbitrary). Times are in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.volume import Grid


@dataclass(frozen=True, eq=False)
class KSpace:
    """Non-Cartesian k-space of a series of frames.

    data : (slices, frames, coils, samples) complex64. The readouts of a frame lie one after the other along
        the last axis, in the order they were acquired. A slab encoded in three dimensions is one slice.
    trajectory : (frames, samples, dims) float32 in cycles per field of view, or (slices, frames, samples, dims)
        where the slices differ; dims is 2, or 3 for a slab.
    times : (samples,) float64, seconds from the excitation to each sample.
    grid : of the image to reconstruct; its voxel n // 2 along each encoded axis is where r = 0.
    readouts : number of readouts (interleaves, times partitions in a slab) in a frame.
    interleaf : (slices, frames, readouts) which interleaf each readout is (its `kspace_encode_step_1`).
    tr : time from frame to frame in s, None where unknown.
    te : from the excitation to the sample at the centre of k-space, in s, None where unknown.
    slice_thickness : in mm, None where unknown.
    noise : (coils, coils) complex128 covariance ``E[n nᴴ]`` of the noise in `data`; None where no noise was
        scanned.
    calibration : a fully sampled scan to estimate coil sensitivities from (one frame, the same slices and
        coils), None where there is none.
    notes : what the reader wants the user to know.
    source : the file it came from.

    Raises
    ------
    InputError
        if the arrays do not fit one another.
    """

    data: NDArray[np.complex64]
    trajectory: NDArray[np.float32]
    times: NDArray[np.float64]
    grid: Grid
    readouts: int = 1
    interleaf: NDArray[np.int64] | None = None
    tr: float | None = None
    te: float | None = None
    slice_thickness: float | None = None
    noise: NDArray[np.complex128] | None = None
    calibration: KSpace | None = None
    notes: tuple[str, ...] = ()
    source: str | None = None

    def __post_init__(self) -> None:
        if self.data.ndim != 4 or min(self.data.shape) < 1:
            raise InputError(
                "k-space has the wrong shape", got=self.data.shape, rule="(slices, frames, coils, samples)"
            )
        slices, frames, coils, samples = self.data.shape
        shape = self.trajectory.shape
        if shape[-3:-1] != (frames, samples) or shape[-1] not in (2, 3) or shape[:-3] not in ((), (slices,)):
            raise InputError("the trajectory does not fit its data", got=f"{shape} for {self.data.shape}")
        if self.times.shape != (samples,) or samples % self.readouts:
            raise InputError(
                "the sample times do not fit the data", got=f"{self.times.shape}, {self.readouts} readouts"
            )
        if self.interleaf is not None and self.interleaf.shape != (slices, frames, self.readouts):
            raise InputError("the interleaf numbers do not fit the data", got=self.interleaf.shape)
        if self.noise is not None and self.noise.shape != (coils, coils):
            raise InputError("the noise covariance does not fit the coils", got=self.noise.shape)
        if shape[-1] == 2 and self.grid.shape[2] != slices:
            raise InputError("the grid does not fit the slices", got=f"{self.grid.shape} for {slices} slices")
        if self.calibration is not None and (
            self.calibration.data.shape[0] != slices or self.calibration.data.shape[2] != coils
        ):
            raise InputError("the calibration scan has other slices or coils", got=self.calibration.data.shape)

    @property
    def slices(self) -> int:
        """Number of slices; 1 for a slab."""
        return int(self.data.shape[0])

    @property
    def frames(self) -> int:
        """Number of time frames."""
        return int(self.data.shape[1])

    @property
    def coils(self) -> int:
        """Number of receive coils."""
        return int(self.data.shape[2])

    @property
    def dims(self) -> int:
        """Encoded dimensions: 2 for slices, 3 for a slab."""
        return int(self.trajectory.shape[-1])

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of the image that one slice's (or the slab's) data encode."""
        return self.grid.shape[: self.dims]

    def trajectory_of(self, slice_index: int) -> NDArray[np.float32]:
        """The trajectory (frames, samples, dims) of one slice."""
        return self.trajectory[slice_index] if self.trajectory.ndim == 4 else self.trajectory

    def select(self, slices: slice = slice(None), frames: slice = slice(None)) -> KSpace:
        """Some slices and frames, in order; shares memory with the whole.

        Raises
        ------
        InputError
            if nothing is left.
        """
        chosen = range(*slices.indices(self.slices))
        if not chosen or chosen.step < 0 or not range(*frames.indices(self.frames)):
            raise InputError("no slice or no frame is selected, or backwards", got=f"{slices}, {frames}")
        grid = self.grid
        if self.dims == 2 and len(chosen) != self.slices:
            affine = grid.affine.copy()
            affine[:3, 3] = grid.to_world([0, 0, chosen[0]])
            affine[:3, 2] *= chosen.step if len(chosen) > 1 else 1
            grid = Grid((*grid.shape[:2], len(chosen)), affine)
        trajectory = self.trajectory
        trajectory = trajectory[slices, frames] if trajectory.ndim == 4 else trajectory[frames]
        return replace(
            self,
            data=self.data[slices, frames],
            trajectory=trajectory,
            grid=grid,
            interleaf=None if self.interleaf is None else self.interleaf[slices, frames],
            calibration=None if self.calibration is None else self.calibration.select(slices),
        )

    def without_samples(self) -> KSpace:
        """The same scan, its samples zeros that take no memory: for what is still to be known of it."""
        nothing = np.broadcast_to(np.zeros((), dtype=np.complex64), self.data.shape)
        calibration = self.calibration
        return replace(
            self, data=nothing, calibration=None if calibration is None else calibration.without_samples()
        )

    def regrouped(self, readouts: int) -> KSpace:
        """The same readouts with `readouts` of them in each frame, in the order they were acquired.

        A run of fully sampled frames of 20 interleaves becomes one of 20 times as many frames of a single
        interleaf, or the other way round; readouts that do not fill a last frame are left out, with a note.

        Raises
        ------
        InputError
            if there are fewer readouts than one frame needs, or the scan is a slab.
        """
        total = self.frames * self.readouts
        if readouts < 1 or readouts > total:
            raise InputError("a frame cannot have that many readouts", got=readouts, rule=f"1 to {total}")
        if self.dims == 3 and readouts != self.readouts:
            raise InputError("the readouts of a slab cannot be shared out among frames")
        length = self.data.shape[-1] // self.readouts
        frames = total // readouts
        kept = frames * readouts
        slices, _, coils, _ = self.data.shape
        data = self.data.reshape(slices, self.frames, coils, self.readouts, length)
        data = data.transpose(0, 1, 3, 2, 4).reshape(slices, total, coils, length)[:, :kept]
        data = data.reshape(slices, frames, readouts, coils, length).transpose(0, 1, 3, 2, 4)
        lead = self.trajectory.shape[:-3]
        trajectory = self.trajectory.reshape(*lead, total, length, self.dims)[..., :kept, :, :]
        interleaf = self.interleaf
        if interleaf is not None:
            interleaf = interleaf.reshape(slices, total)[:, :kept].reshape(slices, frames, readouts)
        notes = self.notes
        if kept < total:
            notes = (*notes, f"the last {total - kept} readouts do not fill a frame and were left out")
        return replace(
            self,
            data=np.ascontiguousarray(data).reshape(slices, frames, coils, readouts * length),
            trajectory=trajectory.reshape(*lead, frames, readouts * length, self.dims),
            times=np.tile(self.times[:length], readouts),
            readouts=readouts,
            interleaf=interleaf,
            tr=None if self.tr is None else self.tr * readouts / self.readouts,
            notes=notes,
        )

    def prewhitened(self) -> KSpace:
        """The data (and calibration) in virtual channels whose noise is white: ``L⁻¹ y`` with ``Ψ = L Lᴴ``.

        Divided so that the mean noise variance stays what it was: ``σ² = trace Ψ / coils``. The noise of the
        result is ``σ² I``. Without a noise scan nothing changes.

        Raises
        ------
        InputError
            if the covariance is not positive definite (a dead or a doubled coil).
        """
        whitener = self.whitener()
        if self.noise is None or whitener is None:
            return self
        white = float(np.trace(self.noise).real) / self.coils * np.eye(self.coils, dtype=np.complex128)
        calibration = self.calibration
        if calibration is not None:
            calibration = replace(calibration, data=whitener @ calibration.data, noise=white)
        return replace(self, data=whitener @ self.data, noise=white, calibration=calibration)

    def whitener(self) -> NDArray[np.complex64] | None:
        """``σ L⁻¹``, (coils, coils), that `prewhitened` multiplies each sample by; None without a noise scan.

        Raises
        ------
        InputError
            as `prewhitened`.
        """
        if self.noise is None:
            return None
        level = float(np.trace(self.noise).real) / self.coils
        try:
            if not (math.isfinite(level) and level > 0):
                raise np.linalg.LinAlgError
            lower = np.linalg.cholesky(self.noise / level)
        except np.linalg.LinAlgError:
            raise InputError(
                "the noise covariance is singular",
                rule="every coil has noise of its own",
                hint="leave out dead or repeated coils",
            ) from None
        if np.linalg.cond(lower) > 1e6:
            raise InputError("the noise covariance is singular", hint="leave out dead or repeated coils")
        return np.linalg.inv(lower).astype(np.complex64)
