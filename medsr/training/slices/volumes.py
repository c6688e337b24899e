"""Training volumes in memory, and random patches of their planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.io import open_volume
from medsr.operators.pointspread import PointSpread
from medsr.operators.resolution import Resolution
from medsr.training.slices.recipe import PlaneSource

TISSUE = 0.1
"""Of the 99.5th percentile: patches are centred on voxels that are brighter."""
CENTRES = 50000
"""Voxels of a volume that patches may be centred on, drawn once."""
NO_LABEL = -100
"""Tissue class of a voxel that has none; the cross-entropy leaves it out."""


@dataclass(frozen=True, eq=False)
class TrainingVolume:
    """A volume over its 99.5th percentile.

    data : float16 (x, y, z).
    planes : pairs of axes (rows, columns) along which it is truly resolved.
    centres : (n, 3) voxels that patches may be centred on.
    labels : int8 (x, y, z) tissue classes, where there are some.
    """

    name: str
    data: NDArray[np.float16]
    planes: tuple[tuple[int, int], ...]
    centres: NDArray[np.int16]
    labels: NDArray[np.int8] | None = None


def load_volumes(
    root: Path, patterns: Sequence[str], source: PlaneSource, tissues: Path | None = None
) -> list[TrainingVolume]:
    """The volumes under `root` that match `patterns`.

    tissues : a folder of tissue classes (`medsr.training.slices.tissues`), where they are wanted.

    Raises
    ------
    InputError
        where a pattern matches nothing.
    """
    found: list[TrainingVolume] = []
    for pattern in patterns:
        paths = sorted(root.glob(pattern))
        if not paths:
            raise InputError(
                "no training data", got=f"nothing matches {pattern} in {root}", hint="give the folder with --data"
            )
        for path in paths:
            classed = tissues if len(found) < source.tissues else None
            found.append(_load(path, path.relative_to(root).as_posix(), source, classed))
    return found


def _load(path: Path, name: str, source: PlaneSource, tissues: Path | None) -> TrainingVolume:
    volume = open_volume(path)
    data = volume.data
    if source.true_spacing is not None:
        data = _at_true_resolution(data, volume.grid.spacing, source.true_spacing)
    data = data / np.float32(max(float(np.percentile(data, 99.5)), 1e-12))
    bright = np.argwhere(data > TISSUE).astype(np.int16)
    if not len(bright):
        raise InputError(f"{path}: there is nothing in it to learn from", rule="some voxels are bright")
    rng = np.random.default_rng(len(bright))
    centres = bright[rng.integers(len(bright), size=CENTRES)]
    labels = None
    if tissues is not None:
        from medsr.training.slices.tissues import tissue_classes

        labels = tissue_classes(data, tissues / f"{name.replace('/', '_')}.npy")
    # outliers (vessels, fat) stay finite and small in half precision
    return TrainingVolume(name, np.clip(data, 0, 8).astype(np.float16), source.planes, centres, labels)


def _at_true_resolution(
    data: NDArray[np.float32], spacing: Sequence[float], true: Sequence[float]
) -> NDArray[np.float32]:
    """`data` by truncated Fourier space along the axes that were interpolated."""
    finer = [t > s * 1.001 for s, t in zip(spacing, true, strict=True)]
    shape = [
        max(1, int(n * s / t + 0.5)) if f else n
        for n, s, t, f in zip(data.shape, spacing, true, finer, strict=True)
    ]
    kept = [t if f else s for s, t, f in zip(spacing, true, finer, strict=True)]
    psf = [PointSpread("kspace", t) if f else None for t, f in zip(true, finer, strict=True)]
    return Resolution(data.shape, spacing, shape, kept, psf)(torch.from_numpy(data)).numpy()


def random_patch(
    volume: TrainingVolume, size: tuple[int, int], slices: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """A patch (slices, rows, columns) of a plane, and the tissue classes of its middle slice (rows, columns).

    It is flipped at random; neighbouring slices beyond the volume are the outermost one.
    """
    rows, columns = volume.planes[int(rng.integers(len(volume.planes)))]
    stack = 3 - rows - columns
    centre = volume.centres[int(rng.integers(len(volume.centres)))]
    image = volume.data.transpose(stack, rows, columns)
    taken = np.clip(int(centre[stack]) + np.arange(slices) - slices // 2, 0, image.shape[0] - 1)
    windows, pads = [], []
    for axis, wanted, length in zip((rows, columns), size, image.shape[1:], strict=True):
        jitter = int(rng.integers(-wanted // 4, wanted // 4 + 1))
        start = min(max(0, int(centre[axis]) + jitter - wanted // 2), max(0, length - wanted))
        windows.append(slice(start, min(start + wanted, length)))
        pads.append((0, max(0, wanted - length)))
    flips = [slice(None, None, int(s)) for s in rng.choice([1, -1], 2)]
    patch = image[taken][:, windows[0], windows[1]].astype(np.float32)
    patch = np.pad(patch, [(0, 0), *pads])[:, flips[0], flips[1]]
    labels = None
    if volume.labels is not None:
        middle = volume.labels.transpose(stack, rows, columns)[int(taken[slices // 2]), windows[0], windows[1]]
        labels = np.pad(middle.astype(np.int64), pads, constant_values=NO_LABEL)[flips[0], flips[1]]
    return patch, labels


def random_contrast(x: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """`x` with another gamma, or through a random smooth curve, which may fold."""
    if rng.random() < 0.5:
        return np.asarray(x ** np.float32(rng.uniform(0.6, 1.7)), dtype=np.float32)
    knots = np.concatenate([[0.0], rng.uniform(0.05, 1.0, 4), rng.uniform(0.5, 1.2, 1)])
    if rng.random() < 0.5:
        knots.sort()
    return np.interp(x, np.linspace(0, 1.25, 6), knots).astype(np.float32)
