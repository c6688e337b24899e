"""The simulated spiral fMRI runs that methods are chosen by and tested on. Shared by `fmri` and `fmri_tune`."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from medsr import open_volume
from medsr.acquisition.measured import matmri_spiral
from medsr.evaluation.runs import KnownRun
from medsr.simulation.protocol import Protocol
from medsr.simulation.spiral_fmri import SimulatedRun, save_run, simulate_spiral_fmri

TRAJECTORY = "kspace/trajectories/matmri_data_traj_spiral_R4.mat"


@dataclass(frozen=True)
class Run:
    """head : file of the data folder. protocol : what is simulated of it. measured : on matmri's trajectory."""

    name: str
    head: str
    protocol: Protocol
    measured: bool = False

    @property
    def stem(self) -> str:
        """Of the names of its files."""
        return self.name.replace(", ", "_").replace(" ", "-")


COLIN, NIIMATH = "structural/colin27_ch2_T1.nii.gz", "structural/rorden/niimath_T1_0p8mm.nii.gz"
BASE = Protocol(matrix=96, coils=16, frames=240, interleaves=20, readouts=1)

TEST = (
    Run("Colin27, blocks", COLIN, dataclasses.replace(BASE, seed=101)),
    Run("niimath, blocks", NIIMATH, dataclasses.replace(BASE, seed=106)),
    Run("niimath, events", NIIMATH, dataclasses.replace(BASE, seed=102, task="events")),
    Run("Colin27, null", COLIN, dataclasses.replace(BASE, seed=103, task="rest", slice_offset=10.0)),
    Run("niimath, 60 Hz", NIIMATH, dataclasses.replace(BASE, seed=104, off_resonance=60.0)),
    # measured, R = 4 by design: one of its four interleaves a frame
    Run("Colin27, measured spiral", COLIN, dataclasses.replace(BASE, seed=105, interleaves=4), measured=True),
)
"""Heads of the split `test`; no setting was chosen by them."""

SELECT = (
    Run(
        "coreg_qa, blocks",
        "structural/rorden/coreg_qa_highres_T1.nii.gz",
        dataclasses.replace(BASE, seed=201, slice_offset=8.0),
    ),
    Run(
        "ds000011 sub-04, events",
        "structural/ds000011/sub-04_T1w.nii.gz",
        dataclasses.replace(BASE, seed=202, task="events"),
    ),
    *(
        Run(
            f"{Path(head).name.split('_T1')[0]}, blocks {seed}",
            head,
            dataclasses.replace(BASE, seed=seed, slice_offset=at),
        )
        for seed, head, at in (
            (301, "structural/rorden/coreg_qa_highres_T1.nii.gz", 0.0),
            (302, "structural/ds000011/sub-04_T1w.nii.gz", 15.0),
            (303, "structural/ds002748/sub-27_T1w.nii.gz", 20.0),
            (304, "structural/ds002748/sub-28_T1w.nii.gz", 8.0),
            (305, "structural/ds002748/sub-29_T1w.nii.gz", 5.0),
            (306, "structural/rorden/coreg_qa_highres_T1.nii.gz", 8.0),
        )
    ),
)
"""Heads of the split `val`, other seeds, activation and physiology. One run has a few active places and tells
a method's bias to 5 to 10 % only: choose by several."""


def add_size(parser: argparse.ArgumentParser) -> None:
    """The options that the benchmarks of runs share: where the data are, and a size for a smaller machine."""
    parser.add_argument("--data", type=Path, default=os.environ.get("MEDSR_DATA"))
    parser.add_argument("--matrix", type=int, default=BASE.matrix)
    parser.add_argument("--coils", type=int, default=BASE.coils)
    parser.add_argument("--frames", type=int, default=BASE.frames)


def size_of(args: argparse.Namespace) -> dict[str, int]:
    """What `add_size` was told, as fields of a protocol."""
    return {"matrix": args.matrix, "coils": args.coils, "frames": args.frames}


def size_in_words(args: argparse.Namespace) -> str:
    return f"{args.matrix} x {args.matrix}, {args.coils} coils, {args.frames} frames"


def simulate(run: Run, data: Path | None, size: dict[str, int], slices: int = 1) -> SimulatedRun:
    """The run, from its head in the data folder; the program ends where that is not there."""
    path = Path(data or "") / run.head
    if data is None or not path.exists():
        sys.exit(f"{path}: not there; name the data folder with --data or MEDSR_DATA")
    protocol = dataclasses.replace(run.protocol, **size, slices=slices)
    spiral = None
    if run.measured:
        spiral = matmri_spiral(data / TRAJECTORY, protocol.matrix, protocol.fov / 1e3, protocol.interleaves)
    return simulate_spiral_fmri(open_volume(path), protocol, spiral=spiral)


def known(simulated: SimulatedRun) -> KnownRun:
    """As `medsr evaluate fmri` takes it."""
    return KnownRun(
        simulated.kspace,
        simulated.truth,
        simulated.events,
        simulated.activation if simulated.events else None,
    )


def keep(simulated: SimulatedRun, folder: Path, stem: str) -> None:
    """Writes the run as `medsr simulate spiral-fmri` does."""
    folder.mkdir(parents=True, exist_ok=True)
    save_run(simulated, folder / f"{stem}.h5", force=True)
