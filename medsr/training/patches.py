"""Training patches: read, cropped, turned and given another contrast by MONAI transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.io import open_volume


@dataclass(frozen=True)
class Source:
    """Files that are alike.

    files, val : glob patterns under the data folder, for training and for selection.
    axes : the axes of the file along which the resolution is true; only these are ever refined.
    patch : patch size in voxels along the axes of the file, even numbers.
    batch : patches a batch.
    weight : share of the batches.
    true_spacing : the resolution where the file's voxels are finer than it (mm); it is resampled to that.
    """

    files: tuple[str, ...]
    patch: tuple[int, int, int]
    batch: int
    weight: float
    val: tuple[str, ...] = ()
    axes: tuple[int, ...] = (0, 1, 2)
    true_spacing: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """One volume over its 99.5th percentile, with the spacing of its voxels (mm)."""

    name: str
    data: NDArray[np.float32]
    spacing: tuple[float, float, float]


def load_cases(root: Path, patterns: Sequence[str], source: Source) -> list[Case]:
    """The volumes under `root` that match, scaled; an InputError where a pattern matches nothing."""
    cases = []
    for pattern in patterns:
        found = sorted(root.glob(pattern))
        if not found:
            raise InputError(
                "no training data", got=f"nothing matches {pattern}", hint="give the folder with --data"
            )
        for path in found:
            volume = open_volume(path)
            data, spacing = volume.data, volume.grid.spacing
            if source.true_spacing is not None:
                data, spacing = _reduce(data, spacing, source.true_spacing)
            peak = float(np.percentile(data, 99.5))
            cases.append(Case(path.relative_to(root).as_posix(), (data / peak).astype(np.float32), spacing))
    return cases


def _reduce(
    data: NDArray[np.float32], spacing: Sequence[float], true: Sequence[float]
) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """`data` at its true resolution, by truncated Fourier space along the axes that were interpolated."""
    import torch

    from medsr.operators.pointspread import PointSpread
    from medsr.operators.resolution import Resolution

    shape = [max(1, int(n * s / t + 0.5)) for n, s, t in zip(data.shape, spacing, true, strict=True)]
    psf = [PointSpread("kspace", t) if t > s * 1.001 else None for s, t in zip(spacing, true, strict=True)]
    shape = [n if p is None else m for n, m, p in zip(data.shape, shape, psf, strict=True)]
    kept = [s if p is None else t for s, t, p in zip(spacing, true, psf, strict=True)]
    operator = Resolution(data.shape, spacing, shape, kept, psf)
    return operator(torch.from_numpy(data)).numpy(), (kept[0], kept[1], kept[2])


def patches(
    sources: Sequence[Source],
    cases: Sequence[Sequence[Case]],
    rng: np.random.Generator,
    hardness: Callable[[], float] = lambda: 1.0,
) -> Iterator[tuple[list[NDArray[np.float32]], list[tuple[float, ...]], list[tuple[int, ...]]]]:
    """Endless batches of (patches, spacings, axes that are truly resolved), all of one shape a batch.

    Axes are permuted and flipped at random, and the contrast, the brightness over the field of view and the
    scale vary, so that a network learns edges rather than one scanner's T1w; `hardness` scales how often the
    contrast does.
    """
    augment = _transforms(int(rng.integers(2**31)))
    weights = np.array([s.weight for s in sources]) / sum(s.weight for s in sources)
    while True:
        index = int(rng.choice(len(sources), p=weights))
        source = sources[index]
        turn = rng.permutation(3)
        batch: list[NDArray[np.float32]] = []
        spacings: list[tuple[float, ...]] = []
        axes: list[tuple[int, ...]] = []
        while len(batch) < source.batch:
            case = cases[index][int(rng.integers(len(cases[index])))]
            patch = _crop(case.data, source.patch, rng)
            if (patch > 0.1).mean() < 0.15:
                continue
            image = np.asarray(augment({"image": patch[None]})["image"][0], dtype=np.float32)
            if rng.random() < hardness():
                image = random_contrast(image, rng)
            flips = tuple(slice(None, None, int(s)) for s in rng.choice([1, -1], 3))
            batch.append(np.ascontiguousarray(image.transpose(turn)[flips]))
            spacings.append(tuple(case.spacing[a] for a in turn))
            axes.append(tuple(i for i, a in enumerate(turn) if a in source.axes))
        yield batch, spacings, axes


def random_contrast(x: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """`x` as it is (half of the draws), with another gamma, or through a random smooth curve that may fold."""
    choice = rng.random()
    if choice < 0.5:
        return x
    clipped = np.clip(x, 0, None)
    if choice < 0.7:
        return np.asarray(clipped ** np.float32(rng.uniform(0.6, 1.7)), dtype=np.float32)
    knots = np.concatenate([[0.0], rng.uniform(0.05, 1.0, 4), rng.uniform(0.5, 1.2, 1)])
    if choice < 0.8:
        knots.sort()
    return np.interp(clipped, np.linspace(0, 1.25, 6), knots).astype(np.float32)


def _crop(data: NDArray[np.float32], size: Sequence[int], rng: np.random.Generator) -> NDArray[np.float32]:
    short = [max(0, s - n) for s, n in zip(size, data.shape, strict=True)]
    if any(short):
        data = np.pad(data, [(s // 2, s - s // 2) for s in short], mode="reflect")
    start = [int(rng.integers(n - s + 1)) for n, s in zip(data.shape, size, strict=True)]
    return data[tuple(slice(a, a + s) for a, s in zip(start, size, strict=True))]


def _transforms(seed: int) -> Any:
    from monai.transforms import Compose, RandBiasFieldd, RandScaleIntensityd

    chain = Compose(
        [
            RandBiasFieldd(keys="image", prob=0.3, degree=3, coeff_range=(0.0, 0.15)),
            RandScaleIntensityd(keys="image", prob=0.5, factors=0.15),
        ]
    )
    chain.set_random_state(seed)
    return chain
