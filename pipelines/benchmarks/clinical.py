"""Real scans with thick slices, which have no truth, to be looked at: draws the scan and what is made of it.

    python -m pipelines.benchmarks.clinical SCAN... -o PICTURE [--at 0.5] [--box 0.6]

A row a scan: a cut across its slices (at `--at` of the axis that is cut away), the scan as it is, `bspline`,
`spline`, `consensus`, and its uncertainty in one colour scale to 20 % of the 99.5th percentile. `--box`: the share
of the cut that is shown, its middle.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import medsr
from medsr import Volume
from medsr.report.pictures import Scale, Window, coloured, grey

METHODS = ("bspline", "spline", "consensus")
SIDE = 300
"""Least height and width of a cut, pixels."""


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--at", type=float, default=0.5)
    parser.add_argument("--box", type=float, default=1.0)
    asked = parser.parse_args()

    from PIL import Image, ImageDraw, ImageFont

    rows = [cuts(path, asked.at, asked.box) for path in asked.scans]
    gap, top = 4, 20
    wide = max(sum(image.width + gap for image in row.values()) - gap for row in rows)
    high = sum(max(image.height for image in row.values()) + top + gap for row in rows)
    sheet = Image.new("RGB", (wide, high), (12, 12, 14))
    draw, font, y = ImageDraw.Draw(sheet), ImageFont.load_default(13), 0
    for row in rows:
        x = 0
        for label, image in row.items():
            draw.text((x + 3, y + 3), label, fill=(235, 235, 235), font=font)
            sheet.paste(image, (x, y + top))
            x += image.width + gap
        y += max(image.height for image in row.values()) + top + gap
    sheet.save(asked.output, optimize=True)


def cuts(path: Path, at: float, box: float):  # type: ignore[no-untyped-def]
    """Pictures of one scan, by what they show."""
    from PIL import Image

    scan = medsr.open_volume(path)
    thick = int(np.argmax(scan.grid.spacing))
    away = next(a for a in (0, 1, 2) if a != thick)
    made = {name: medsr.reconstruct(path, method=name) for name in METHODS}
    grid = made["consensus"].volume.grid
    window = Window(0.0, float(np.percentile(scan.data, 99.8)))

    def cut(volume: Volume) -> NDArray[np.float32]:
        plane = np.take(volume.data, int(at * volume.grid.shape[away]), away)
        plane = plane if away < thick else plane.T
        for axis in (0, 1):
            n = plane.shape[axis]
            plane = np.take(plane, range(int(n * (1 - box) / 2), n - int(n * (1 - box) / 2)), axis)
        return np.ascontiguousarray(plane[:, ::-1].T)

    def shown(image):  # type: ignore[no-untyped-def]
        kept = [a for a in (0, 1, 2) if a != away]
        across, along = kept if kept[1] == thick else kept[::-1]
        size = [box * grid.shape[a] * grid.spacing[a] for a in (across, along)]
        scale = max(1.0, SIDE / min(size))
        return image.convert("RGB").resize([round(scale * s) for s in size], Image.Resampling.NEAREST)

    spread = made["consensus"].uncertainty
    assert spread is not None
    limit = 0.2 * float(np.percentile(scan.data, 99.5))
    pictures = {path.name: shown(grey(cut(scan), window))}
    pictures |= {n: shown(grey(cut(r.volume), window)) for n, r in made.items()}
    return pictures | {"uncertainty": shown(coloured(cut(spread), Scale("sequential", limit)))}


if __name__ == "__main__":
    main()
