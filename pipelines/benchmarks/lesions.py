"""Small lesions through `consensus`, beside `spline`: what is kept of their contrast, and what is invented.

    python -m pipelines.benchmarks.lesions --data FOLDER [--number 200] [--free]

Balls of 2 to 8 mm with soft edges, 2 to 6 times the noise brighter or darker than the tissue around them (noise:
2 % of the 99.5th percentile), are put into a head before it is scanned; as many places without one are the
controls. Contrast is that of the ball against the shell around it, the head without lesions taken off, over the
same on the truth. A lesion is missed where less than half of the contrast that `spline` keeps of it is kept; one
is invented at a control where ball and shell differ from the truth's by more than the faintest lesion's contrast.
`--free`: the network's correction as it is, not confined to what the scan leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from medsr import Volume
from medsr.methods.base import no_progress
from medsr.methods.consensus import Parts, propose
from medsr.methods.spline import spline
from pipelines.benchmarks.consensus import SETTINGS, Setting, scan_of
from pipelines.benchmarks.heads import choose, load, parser

SHOWN = ("x2 gaussian", "x4 through-plane", "x2 gaussian, 2 %", "x4 through-plane, 2 %")
SIZES = 2.0, 8.0
CONTRASTS = 2.0, 6.0
NOISE = 0.02
APART = 14.0
"""Least distance between two, mm."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """A ball: centre (voxels), radius (mm), contrast (image units)."""

    centre: NDArray[np.float64]
    radius: float
    contrast: float

    def profile(self, volume: Volume) -> tuple[tuple[slice, ...], NDArray[np.float32]]:
        """The box around it, and the share of each voxel that is lesion (a soft edge of one voxel)."""
        spacing = np.array(volume.grid.spacing)
        reach = np.ceil(2 * self.radius / spacing + 2).astype(int)
        low = np.maximum(0, np.floor(self.centre).astype(int) - reach)
        high = np.minimum(volume.grid.shape, np.floor(self.centre).astype(int) + reach + 1)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        axes = np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij")
        far = np.sqrt(sum(((x - c) * s) ** 2 for x, c, s in zip(axes, self.centre, spacing, strict=True)))
        return box, np.clip((self.radius - far) / spacing.mean() + 0.5, 0, 1).astype(np.float32)


def main() -> None:
    """Prints a row a head and setting."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--number", type=int, default=200)
    arguments.add_argument("--free", action="store_true", help="without the confinement")
    asked = arguments.parse_args()
    parts = Parts(confined=not asked.free)
    print(f"{'head':12} {'setting':24} {'contrast kept':>24} {'missed':>8} {'invented':>18}")
    print(f"{'':12} {'':24} {'spline':>12}{'consensus':>12} {'':>8} {'spline':>9}{'consensus':>9}")
    for name in choose(asked):
        head = load(asked.data, name)
        places = find_places(head, 2 * asked.number)
        with_lesions = head.with_data(insert(head, places[: asked.number]))
        for label in SHOWN:
            print(f"{name:12} {label:24} " + score(head, with_lesions, places, SETTINGS[label], parts), flush=True)


def find_places(head: Volume, number: int) -> list[Lesion]:
    """Lesions, and controls after them, in flat tissue of the middle of the head."""
    rng = np.random.default_rng(0)
    peak = float(np.percentile(head.data, 99.5))
    found: list[Lesion] = []
    shape, spacing = np.array(head.grid.shape), np.array(head.grid.spacing)
    for _ in range(1_000_000):
        if len(found) == number:
            return found
        centre = rng.uniform(0.2, 0.8, 3) * shape
        if any(np.linalg.norm((centre - f.centre) * spacing) < APART for f in found[-number:]):
            continue
        around = head.data[tuple(slice(int(c) - 3, int(c) + 4) for c in centre)]
        if around.mean() < 0.25 * peak or around.std() > 0.12 * peak:
            continue
        contrast = rng.choice([-1, 1]) * rng.uniform(*CONTRASTS) * NOISE * peak
        found.append(Lesion(centre, rng.uniform(*SIZES) / 2, float(contrast)))
    raise SystemExit(f"only {len(found)} places for {number} lesions in this head")


def insert(head: Volume, lesions: list[Lesion]) -> NDArray[np.float32]:
    """The head with lesions."""
    data = head.data.copy()
    for lesion in lesions:
        box, share = lesion.profile(head)
        data[box] += share * lesion.contrast
    return data


def score(head: Volume, with_lesions: Volume, places: list[Lesion], setting: Setting, parts: Parts) -> str:
    """Contrast kept, missed and invented, of both methods."""
    number = len(places) // 2
    answers: dict[str, NDArray[np.float64]] = {}
    for source, volume in (("without", head), ("with", with_lesions)):
        scan, acquisition, truth = scan_of(volume, setting)
        offset = np.linalg.solve(head.grid.affine, truth.grid.affine[:, 3])[:3]
        images = {
            "truth": truth.data,
            "spline": spline(torch.from_numpy(scan), acquisition, no_progress).data.numpy(),
            "consensus": propose(torch.from_numpy(scan), acquisition, no_progress, parts).data.numpy(),
        }
        for method, image in images.items():
            moved = [Lesion(p.centre - offset, p.radius, p.contrast) for p in places]
            answers[f"{method} {source}"] = np.array([answer(truth.with_data(image), p) for p in moved])
    change = {m: answers[f"{m} with"] - answers[f"{m} without"] for m in ("truth", "spline", "consensus")}
    kept = {m: change[m][:number] / change["truth"][:number] for m in ("spline", "consensus")}
    missed = np.mean(kept["consensus"] < 0.5 * kept["spline"])
    faintest = CONTRASTS[0] * NOISE * float(np.percentile(head.data, 99.5))
    invented = {
        m: np.mean(np.abs(answers[f"{m} without"] - answers["truth without"])[number:] > faintest)
        for m in ("spline", "consensus")
    }
    return (
        f"{np.median(kept['spline']):12.3f}{np.median(kept['consensus']):12.3f} {missed:8.3f} "
        f"{invented['spline']:9.3f}{invented['consensus']:9.3f}"
    )


def answer(image: Volume, lesion: Lesion) -> float:
    """Mean within the ball less that of the shell around it."""
    box, share = lesion.profile(image)
    shell = (share == 0).astype(np.float32)
    values = image.data[box]
    return float((values * share).sum() / share.sum() - (values * shell).sum() / shell.sum())


if __name__ == "__main__":
    main()
