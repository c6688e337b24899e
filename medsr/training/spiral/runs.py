"""Simulated runs to train on: drawn, prepared as a user's raw data would be, and kept on disk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from medsr.acquisition.preparation import Preparation, Prepared
from medsr.acquisition.spiral import SpiralAcquisition
from medsr.errors import InputError
from medsr.evaluation.fmri import activated, tissue_mask
from medsr.evaluation.glm import design_matrix
from medsr.io import open_volume
from medsr.simulation.paradigm import Kind
from medsr.simulation.physiology import Levels
from medsr.simulation.protocol import Protocol
from medsr.simulation.spiral_fmri import SimulatedRun, simulate_spiral_fmri

LEAST_ACTIVE = 10
"""Voxels; with fewer the response of a run is not judged."""


@dataclass(frozen=True)
class Odds:
    """What a run is drawn from: pairs are the ends of a range, evenly drawn; longer lists are choices.

    The fields are those of `medsr.simulation.protocol.Protocol`; `levels` scales every level of physiology.
    """

    matrix: tuple[int, ...] = (64, 64, 64, 96)
    coils: tuple[int, ...] = (8, 12, 16)
    frames: int = 96
    tr: tuple[float, float] = (0.8, 1.4)
    snr: tuple[float, float] = (60.0, 140.0)
    off_resonance: tuple[float, float] = (5.0, 40.0)
    bold: tuple[float, float] = (1.0, 5.0)
    regions: tuple[int, int] = (2, 7)
    block: tuple[float, float] = (10.0, 25.0)
    task: tuple[Kind, ...] = ("blocks", "blocks", "blocks", "events", "events", "rest")
    order: tuple[str, ...] = ("golden", "golden", "golden", "cyclic")
    levels: tuple[float, float] = (0.5, 1.5)
    slice_offset: tuple[float, float] = (-15.0, 35.0)
    contrast_variation: float = 0.1


def draw(odds: Odds, seed: int) -> Protocol:
    """A protocol; `seed` decides it and everything in the run."""
    rng = np.random.default_rng([seed, 20])

    def between(ends: tuple[float, float]) -> float:
        return float(rng.uniform(*ends))

    usual = dataclasses.asdict(Levels())
    levels = Levels(**{name: value * between(odds.levels) for name, value in usual.items()})
    return Protocol(
        matrix=int(rng.choice(odds.matrix)),
        coils=int(rng.choice(odds.coils)),
        frames=odds.frames,
        tr=between(odds.tr),
        snr=between(odds.snr),
        off_resonance=between(odds.off_resonance),
        bold=between(odds.bold),
        regions=int(rng.integers(odds.regions[0], odds.regions[1] + 1)),
        block=between(odds.block),
        task=str(rng.choice(odds.task)),  # type: ignore[arg-type]
        order=str(rng.choice(odds.order)),  # type: ignore[arg-type]
        levels=levels,
        slice_offset=between(odds.slice_offset),
        contrast_variation=odds.contrast_variation,
        seed=seed,
    )


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """One slice of a simulated run and its answer.

    truth : (frames, x, y). tissue, active : voxels that count. estimator : (frames,), what takes a voxel's
    course to its response in the truth's units: the first row of the design's pseudo-inverse. None without a task.
    """

    acquisition: SpiralAcquisition
    truth: Tensor
    tissue: Tensor
    active: Tensor
    estimator: Tensor | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def to(self, device: str) -> TrainingRun:
        """The same with the answer on another device; the acquisition stays where it is."""
        answer = {k: getattr(self, k).to(device) for k in ("truth", "tissue", "active")}
        estimator = None if self.estimator is None else self.estimator.to(device)
        return dataclasses.replace(self, estimator=estimator, **answer)


@dataclass(frozen=True, eq=False)
class Truth:
    """What an ideal scan of a simulated run shows.

    series : (frames, x, y). tissue : (x, y). tr : in s. spacing : of the voxels, mm.
    """

    series: Tensor
    tissue: Tensor
    tr: float
    spacing: tuple[float, ...]


def truths(heads: Sequence[Path], count: int, odds: Odds, seed: int) -> Iterator[Truth]:
    """Truths of `count` runs of the `heads` in turn, without the raw data (a coil is all that is simulated)."""
    for i in range(count):
        protocol = dataclasses.replace(draw(odds, seed + i), coils=1, calibration=False)
        run = simulate_spiral_fmri(open_volume(heads[i % len(heads)]), protocol)
        series = torch.from_numpy(np.ascontiguousarray(run.truth.data[..., 0]))
        tissue = torch.from_numpy(tissue_mask(run.truth.data)[..., 0])
        yield Truth(series, tissue, protocol.tr, run.truth.grid.spacing[:2])


def training_run(run: SimulatedRun) -> TrainingRun:
    """Slice 0 of a simulated run, prepared as `medsr reconstruct` prepares it."""
    return with_answer(run, Prepared(run.kspace, Preparation()).slice(0))


def with_answer(run: SimulatedRun, acquisition: SpiralAcquisition) -> TrainingRun:
    """A prepared slice 0 beside the truth."""
    truth = torch.from_numpy(np.ascontiguousarray(run.truth.data[..., 0]))
    tissue = torch.from_numpy(tissue_mask(run.truth.data)[..., 0])
    active = torch.from_numpy(activated(run.activation.data)[0][..., 0]) & tissue
    estimator = None
    if run.events and int(active.sum()) >= LEAST_ACTIVE:
        design = design_matrix(run.events, len(truth), run.protocol.tr)
        estimator = torch.from_numpy(np.linalg.pinv(design)[0]).float()
    return TrainingRun(acquisition, truth, tissue, active, estimator, {"task": run.protocol.task})


def load_runs(
    heads: list[Path],
    count: int,
    odds: Odds,
    seed: int,
    cache: Path,
    say: Callable[[str], None],
    make: Callable[[SimulatedRun], TrainingRun] = training_run,
    workers: int = 1,
) -> list[TrainingRun]:
    """`count` runs of the `heads` in turn, read from `cache` or simulated into it by `workers` processes.

    Raises
    ------
    InputError
        if there is no head.
    """
    if not heads:
        raise InputError("no heads to simulate runs of", hint="check the recipe's files and --data")
    cache.mkdir(parents=True, exist_ok=True)
    kept = [cache / f"run-{seed + i}.safetensors" for i in range(count)]
    missing = [
        (heads[i % len(heads)], odds, seed + i, kept[i], make) for i in range(count) if not kept[i].exists()
    ]
    if workers <= 1:
        for done, task in enumerate(missing):
            _simulate(*task)
            say(f"simulated run {done + 1} of {len(missing)}")
    else:  # torch's threads do not survive a fork
        with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            for done, future in enumerate(as_completed(pool.submit(_simulate, *task) for task in missing)):
                future.result()
                say(f"simulated run {done + 1} of {len(missing)}")
    return [_load(path) for path in kept]


def _simulate(head: Path, odds: Odds, seed: int, kept: Path, make: Callable[[SimulatedRun], TrainingRun]) -> None:
    _save(make(simulate_spiral_fmri(open_volume(head), draw(odds, seed))), kept)


def _save(run: TrainingRun, path: Path) -> None:
    a = run.acquisition
    tensors = {
        "kspace": a.kspace,
        "trajectories": a.trajectories,
        "weights": a.weights,
        "maps": a.maps,
        "truth": run.truth,
        "tissue": run.tissue,
        "active": run.active,
    }
    if run.estimator is not None:
        tensors["estimator"] = run.estimator
    facts = {k: getattr(a, k) for k in ("noise", "copies", "readouts", "tr", "spacing", "duration")}
    partial = path.with_suffix(".partial")
    save_file(
        {k: v.contiguous() for k, v in tensors.items()},
        partial,
        metadata={"facts": json.dumps(facts), "about": json.dumps(run.about)},
    )
    partial.replace(path)


def _load(path: Path) -> TrainingRun:
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
        t = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    facts = json.loads(about["facts"])
    facts["spacing"] = tuple(facts["spacing"])
    acquisition = SpiralAcquisition(t["kspace"], t["trajectories"], t["weights"], t["maps"], **facts)
    return TrainingRun(
        acquisition, t["truth"], t["tissue"], t["active"], t.get("estimator"), json.loads(about["about"])
    )
