"""What each part of `consensus` brings: prints PSNR in dB with parts left out.

    python -m pipelines.benchmarks.ablation --data FOLDER [--val]

Scored as in pipelines.benchmarks.consensus, but that the middle of the head alone is made, 144³ voxels, and gives
the peak. Rows: `spline`; one view; more views of one kind; all kinds; then all
kinds without the confinement to what the scan leaves open (the projection alone: exact without noise, to within
the noise with it), without the projection, and without both.
"""

from __future__ import annotations

import torch

from medsr.methods.base import no_progress
from medsr.methods.consensus import Parts, Views, propose
from medsr.methods.spline import spline
from pipelines.benchmarks.consensus import SETTINGS, scan_of
from pipelines.benchmarks.heads import central_psnr, choose, load, middle, parser

SHOWN = ("x2 gaussian", "x2 kspace", "x4 through-plane", "x2 gaussian, 2 %", "x4 through-plane, 2 %")
PARTS = {
    "one view": Parts(Views(1)),
    "4 views, flips": Parts(Views(4, permutations=False)),
    "permutations alone": Parts(Views(3, flips=False)),
    "3 views, shifts": Parts(Views(3, flips=False, permutations=False, shifts=True)),
    "4 views": Parts(),
    "8 views": Parts(Views(8)),
    "12 views, shifts too": Parts(Views(12, shifts=True)),
    "projection alone": Parts(confined=False),
    "confinement alone": Parts(projection=False),
    "neither": Parts(projection=False, confined=False),
}


def main() -> None:
    """Prints a row for what is left out, a column a head and setting."""
    asked = parser(__doc__.splitlines()[0]).parse_args()
    for name in choose(asked):
        head = middle(load(asked.data, name))
        print(f"{name}\n{'':22} " + " ".join(f"{s:>22}" for s in SHOWN))
        rows: dict[str, list[float]] = {"spline": [], **{part: [] for part in PARTS}}
        for label in SHOWN:
            scan, acquisition, truth = scan_of(head, SETTINGS[label])
            y = torch.from_numpy(scan)
            rows["spline"].append(central_psnr(spline(y, acquisition, no_progress).data.numpy(), truth.data))
            for part, parts in PARTS.items():
                image = propose(y, acquisition, no_progress, parts).data.numpy()
                rows[part].append(central_psnr(image, truth.data))
        for part, scores in rows.items():
            print(f"{part:22} " + " ".join(f"{s:22.2f}" for s in scores), flush=True)


if __name__ == "__main__":
    main()
