"""Cuts as PNG or JPEG: grey with one window for before and after, maps in colour, and one figure of both."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from medsr.report.data import ReportData
from medsr.report.scene import PLANES, Plane, Scene
from medsr.result import Result

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

LEVELS = 49
"""Colours of a map: as many as an eye can tell on a colour bar, few enough to keep a noisy map small."""

# anchors, evenly spaced; dark where there is nothing to see, as in the grey pictures; told apart by the
# colour-blind (blue and orange), and in grey by their brightness
DIVERGING = (
    (126, 196, 255),
    (48, 118, 214),
    (16, 42, 84),
    (12, 12, 14),
    (84, 38, 10),
    (214, 104, 30),
    (255, 196, 120),
)
SEQUENTIAL = (
    (8, 8, 14),
    (52, 22, 86),
    (126, 36, 106),
    (200, 66, 74),
    (242, 132, 46),
    (252, 206, 96),
    (252, 250, 210),
)


@dataclass(frozen=True)
class Window:
    """Values shown as black and as white."""

    low: float
    high: float


@dataclass(frozen=True)
class Scale:
    """How a map is coloured.

    kind : "diverging" (from ``-limit`` to ``limit``) or "sequential" (from 0 to `limit`).
    limit : in the map's units; `unit` of them (the noise) make one step on the colour bar, where it is not None.
    """

    kind: Literal["diverging", "sequential"]
    limit: float
    unit: float | None = None

    @property
    def colours(self) -> NDArray[np.uint8]:
        """(LEVELS, 3)."""
        anchors = np.array(DIVERGING if self.kind == "diverging" else SEQUENTIAL, dtype=np.float64)
        at, places = np.linspace(0, 1, LEVELS), np.linspace(0, 1, len(anchors))
        return np.stack([np.interp(at, places, c) for c in anchors.T], axis=1).round().astype(np.uint8)


def some_values(data: NDArray[Any], most: int = 500_000) -> NDArray[np.float32]:
    """Finite values of `data` (x, y, z) on a regular lattice, `most` of them or a few more."""
    step = max(1, int((data.size / most) ** (1 / 3)))
    values = np.asarray(data[::step, ::step, ::step], dtype=np.float32)
    return values[np.isfinite(values)]


def window(scan: NDArray[Any]) -> Window:
    """The window of a report: the 0.5th and 99.7th percentile of the scan (x, y, z), for before and after."""
    values = some_values(scan)
    if not len(values):
        return Window(0.0, 1.0)
    low, high = (float(v) for v in np.percentile(values, (0.5, 99.7)))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return Window(low, high) if high > low else Window(low, low + 1.0)


def residual_scale(residual: NDArray[Any], noise: float) -> Scale:
    """Three standard deviations of the noise, or what holds 99.5 % of the residual (x, y, z) where it is more.

    Without noise, the latter.
    """
    values = np.abs(some_values(residual))
    reach = float(np.percentile(values, 99.5)) if len(values) else 0.0
    if noise > 0:
        return Scale("diverging", max(3.0, float(np.ceil(reach / noise - 0.25))) * noise, noise)
    return Scale("diverging", reach or 1.0)


def uncertainty_scale(values: NDArray[Any]) -> Scale:
    """From zero to what holds 99.5 % of the values above zero."""
    found = some_values(values)
    found = found[found > 0]
    return Scale("sequential", float(np.percentile(found, 99.5)) if len(found) else 1.0)


def grey(picture: NDArray[np.float32], shades: Window) -> Image:
    """An 8-bit grey image; black where there is nothing."""
    from PIL import Image

    scaled = (np.nan_to_num(picture, nan=shades.low) - shades.low) * (255 / (shades.high - shades.low))
    return Image.fromarray(np.clip(scaled + 0.5, 0, 255).astype(np.uint8))


def coloured(picture: NDArray[np.float32], scale: Scale) -> Image:
    """A palette image; nothing is shown as zero."""
    from PIL import Image

    low = -scale.limit if scale.kind == "diverging" else 0.0
    scaled = (np.nan_to_num(picture, nan=0.0) - low) * ((LEVELS - 1) / (scale.limit - low))
    image = Image.fromarray(np.clip(scaled + 0.5, 0, LEVELS - 1).astype(np.uint8))
    image.putpalette(scale.colours.tobytes())
    return image


def colour_bar(scale: Scale) -> Image:
    """A strip of all colours, low values on the left."""
    from PIL import Image

    image = Image.fromarray(np.arange(LEVELS, dtype=np.uint8)[None].repeat(2, axis=0))
    image.putpalette(scale.colours.tobytes())
    return image


def png(image: Image) -> bytes:
    """The PNG file."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=7)
    return out.getvalue()


def jpeg(image: Image, quality: int) -> bytes:
    """The JPEG file, of a grey image."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def pick_slices(first: int, last: int, count: int) -> list[int]:
    """`count` slices (or all there are), evenly spread between `first` and `last`."""
    inside = last - first + 1
    if inside <= count:
        return list(range(first, last + 1))
    return [first + int((i + 0.5) * inside / count) for i in range(count)]


def temporal_snr(series: NDArray[Any], scene: Scene, plane: Plane, index: int) -> NDArray[np.float32]:
    """Mean over standard deviation in time, not detrended, of a cut through a series (t, x, y, z) on the grid of
    `scene`; two cuts are held at a time."""
    mean = np.zeros(scene.pixels(plane)[::-1])
    squares = np.zeros_like(mean)
    for t, frame in enumerate(series):
        cut = scene.cut(frame, scene.grid, plane, index)
        step = cut - mean
        mean += step / (t + 1)
        squares += step * (cut - mean)
    deviation = np.sqrt(squares / max(1, len(series) - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(deviation > 0, np.abs(mean) / deviation, 0.0).astype(np.float32)


def side_by_side(result: Result | ReportData, *, width: int = 1200) -> bytes:
    """One PNG: before above after, in three planes, at one scale, with the patient's sides on the edges.

    The scan is shown by its nearest voxels, the result by its own, and both are enlarged in the same way; the
    slices go through the middle of what there is to see.

    Parameters
    ----------
    width : of the figure, in pixels, at most.
    """
    from PIL import Image, ImageDraw

    data = ReportData.from_result(result) if isinstance(result, Result) else result
    scene = Scene(data.grid)
    before, after = data.shown(data.scan), data.shown(data.image)
    shades = window(before)
    content = scene.content(after, shades.low + 0.1 * (shades.high - shades.low))
    gap, caption = 12, 30
    zoom = (width - 4 * gap) / sum(scene.extent(p)[0] for p in PLANES)
    zoom = min(zoom, 1.2 * width / max(scene.extent(p)[1] for p in PLANES))
    sizes = {
        p.name: (max(1, round(e[0] * zoom)), max(1, round(e[1] * zoom))) for p in PLANES for e in [scene.extent(p)]
    }
    tall = max(h for _, h in sizes.values())
    figure = Image.new("RGB", (sum(w for w, _ in sizes.values()) + 4 * gap, 2 * (tall + caption) + gap), (0, 0, 0))
    draw = ImageDraw.Draw(figure)
    rows = (
        (before, data.scan_grid, f"before: {data.scan_grid.describe()}"),
        (after, data.grid, f"after, {data.method}: {data.grid.describe()}"),
    )
    for row, (array, grid, words) in enumerate(rows):
        left, top = gap, row * (tall + caption)
        draw.text((gap, top + caption / 2), words, fill=(235, 235, 235), font=font(16), anchor="lm")
        for plane in PLANES:
            first, last = content[plane.name]
            picture = grey(scene.cut(array, grid, plane, (first + last) // 2), shades)
            w, h = sizes[plane.name]
            box = (left, top + caption + (tall - h) // 2)
            figure.paste(picture.resize((w, h), Image.Resampling.BICUBIC), box)
            _letters(draw, plane.edges, (*box, box[0] + w, box[1] + h))
            left += w + gap
    return png(figure)


def _letters(draw: ImageDraw, edges: Sequence[str], box: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = box
    middle, centre = (x0 + x1) / 2, (y0 + y1) / 2
    places = (
        ((x0 + 4, centre), "lm"),
        ((x1 - 4, centre), "rm"),
        ((middle, y0 + 4), "mt"),
        ((middle, y1 - 4), "mb"),
    )
    for letter, (place, anchor) in zip(edges, places, strict=True):
        draw.text(
            place,
            letter,
            fill=(255, 214, 102),
            font=font(15),
            anchor=anchor,
            stroke_width=2,
            stroke_fill=(0, 0, 0),
        )


def font(size: int) -> Any:
    """The font of captions, at a size in pixels."""
    from PIL import ImageFont

    return ImageFont.load_default(size)
