"""Training patches: read, cropped, turned and given another contrast by MONAI transforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.acquisition.noise import estimate_noise
from medsr.consistency.wiener import noise_model, wiener
from medsr.errors import InputError
from medsr.io import open_volume


@dataclass(frozen=True)
class Source:
    """Files that are alike.

    files, val : glob patterns under the data folder, for training and for selection.
    axes : the axes of the file along which the resolution is true; only these are ever refined.
    weight : share of the batches.
    true_spacing : the resolution where the file's voxels are finer than it (mm); it is resampled to that.
    """

    files: tuple[str, ...]
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

    @cached_property
    def noise(self) -> float:
        """Standard deviation of its own noise, as estimated."""
        return estimate_noise(self.data).sigma


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


class Patches:
    """Random patches of the volumes of several sources, alike within a batch.

    Axes are permuted and flipped at random, and the contrast, the brightness over the field of view and the
    scale vary, so that a network learns edges rather than one scanner's T1w.
    """

    def __init__(
        self, sources: Sequence[Source], cases: Sequence[Sequence[Case]], rng: np.random.Generator
    ) -> None:
        self.sources, self.cases, self.rng = sources, cases, rng
        self.odds = np.array([s.weight for s in sources]) / sum(s.weight for s in sources)
        self.augment = _transforms(int(rng.integers(2**31)))

    def pick(self, *, resolved_last: bool) -> Pick:
        """A source, volumes of one spacing in it, and an order of their axes."""
        index = int(self.rng.choice(len(self.sources), p=self.odds))
        source, cases = self.sources[index], self.cases[index]
        first = cases[int(self.rng.integers(len(cases)))]
        turn = [int(a) for a in self.rng.permutation(3)]
        if resolved_last:
            last = int(self.rng.choice(source.axes))
            turn = [*(a for a in turn if a != last), last]
        return Pick(
            [c for c in cases if np.allclose(c.spacing, first.spacing, rtol=0.01)],
            (turn[0], turn[1], turn[2]),
            tuple(first.spacing[a] for a in turn),
            tuple(first.data.shape[a] for a in turn),
            tuple(i for i, a in enumerate(turn) if a in source.axes),
        )

    def batch(
        self, pick: Pick, shape: Sequence[int], number: int, contrast: float, denoised: float = 0.0
    ) -> NDArray[np.float32]:
        """(number, *shape) patches of a pick; `contrast` is how often the contrast is changed, `denoised` how
        often noise is taken away, some of it or all."""
        back = [pick.turn.index(a) for a in range(3)]
        found: list[NDArray[np.float32]] = []
        while len(found) < number:
            case = pick.cases[int(self.rng.integers(len(pick.cases)))]
            patch = _crop(case.data, [shape[b] for b in back], self.rng)
            if (patch > 0.1).mean() < 0.15:
                continue
            if denoised and self.rng.random() < denoised:
                patch = less_noise(patch, case.noise, float(self.rng.random()))
            image = np.asarray(self.augment({"image": patch[None]})["image"][0], dtype=np.float32)
            if self.rng.random() < contrast:
                image = random_contrast(image, self.rng)
            flips = tuple(slice(None, None, int(s)) for s in self.rng.choice([1, -1], 3))
            found.append(image.transpose(pick.turn)[flips])
        return np.stack(found)


@dataclass(frozen=True, eq=False)
class Pick:
    """Volumes of one spacing, their axes turned.

    spacing, shape, resolved : in the turned order: mm, voxels of the first, axes of true resolution.
    """

    cases: list[Case]
    turn: tuple[int, int, int]
    spacing: tuple[float, ...]
    shape: tuple[int, ...]
    resolved: tuple[int, ...]


def less_noise(x: NDArray[np.float32], sigma: float, kept: float) -> NDArray[np.float32]:
    """`x` (x, y, z) with the share `kept` of what the Wiener filter takes for noise of `sigma`."""
    import torch

    y = torch.from_numpy(x)
    clean = wiener(y, noise_model(y, sigma)).numpy() if sigma else x
    return np.asarray(clean + np.float32(kept) * (x - clean), dtype=np.float32)


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
