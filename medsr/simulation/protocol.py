"""What is to be simulated of a spiral fMRI run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from medsr.errors import UsageError
from medsr.simulation.paradigm import Kind
from medsr.simulation.physiology import Levels


@dataclass(frozen=True)
class Protocol:
    """What is simulated. Lengths in mm, times in s.

    matrix, fov : of the reconstruction, square.
    slices, slice_thickness, slice_gap, slice_offset : the stack; offset of its middle from the head's middle.
    frames, tr, te : the run.
    interleaves : how many sample k-space fully.
    readouts : of them in a frame; 1 of 20 is 20-fold acceleration.
    order : rotation from readout to readout, golden angle or cyclic.
    centre_density, gradient, slew, dwell : of the spiral (`variable_density_spiral`); SI units.
    delay : of the x and y gradients, in s: played out, not in the file.
    coils : receive channels.
    snr : mean signal over thermal noise of a frame of all interleaves, fully sampled, in an ideal combination.
    off_resonance : 98th percentile of the static field's magnitude in tissue, Hz.
    task : blocks, events or rest.
    block : length of a block.
    bold : response of activated tissue, in percent of the signal.
    regions : activated places.
    levels : of physiological noise and movement.
    contrast, contrast_variation : see `medsr.simulation.head.Head`.
    calibration : scan all interleaves once before the run, to estimate coil sensitivities from.
    oversampling : points of the object along each voxel of the reconstruction, 2 or more.
    seed : of everything drawn; each source of chance has a stream of its own.
    """

    matrix: int = 96
    fov: float = 220.0
    slices: int = 1
    slice_thickness: float = 3.0
    slice_gap: float = 0.0
    slice_offset: float = 0.0
    frames: int = 240
    tr: float = 1.0
    te: float = 0.03
    interleaves: int = 20
    readouts: int = 1
    order: Literal["golden", "cyclic"] = "golden"
    centre_density: float = 3.5
    gradient: float = 40e-3
    slew: float = 150.0
    dwell: float = 4e-6
    delay: tuple[float, float] = (0.0, 0.0)
    coils: int = 16
    snr: float = 100.0
    off_resonance: float = 20.0
    task: Kind = "blocks"
    block: float = 20.0
    bold: float = 3.0
    regions: int = 4
    levels: Levels = field(default_factory=Levels)
    contrast: Literal["t1w", "as-is"] = "t1w"
    contrast_variation: float = 0.05
    calibration: bool = True
    oversampling: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        rules = {
            "matrix": 16 <= self.matrix <= 512,
            "slices": 1 <= self.slices <= 512,
            "frames": 1 <= self.frames <= 65535,
            "interleaves": 1 <= self.interleaves <= 256,
            "readouts": 1 <= self.readouts <= self.interleaves,
            "coils": 1 <= self.coils <= 128,
            "oversampling": 2 <= self.oversampling <= 4,
            "tr": self.tr > 0,
            "te": 0 < self.te < self.tr,
            "snr": self.snr > 0,
            "fov": 10 < self.fov < 1000,
            "slice_thickness": 0 < self.slice_thickness < 100,
            "slice_gap": self.slice_gap >= 0,
            "order": self.order in ("golden", "cyclic"),
            "contrast": self.contrast in ("t1w", "as-is"),
            "regions": 0 <= self.regions <= 100,
            "seed": self.seed >= 0,
        }
        for name, kept in rules.items():
            if not kept:
                raise UsageError(f"the protocol's {name} makes no sense", got=getattr(self, name))

    def stream(self, purpose: str, *index: int) -> np.random.Generator:
        """A stream of chance for each purpose, so that more coils do not move the activation."""
        return np.random.default_rng([self.seed, *index, *purpose.encode()])
