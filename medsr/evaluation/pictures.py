"""One figure of several methods on one run: images, errors, maps of t, time courses of active tissue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.evaluation.fmri import activated, tissue_mask
from medsr.evaluation.glm import design_matrix, fit
from medsr.evaluation.runs import KnownRun, Scored
from medsr.report import pictures
from medsr.simulation.paradigm import paradigm
from medsr.volume import Volume

TILE, GAP, CAPTION, PLOT = 192, 6, 22, 150
ERROR = 0.2
"""Of the truth's 99th percentile: full scale of the error."""
T_SCALE = 12.0
COLOURS = ((235, 235, 235), (255, 170, 60), (90, 170, 255), (130, 220, 120), (240, 110, 160), (190, 150, 255))


def comparison(run: KnownRun, rows: Sequence[Scored]) -> bytes:
    """PNG: a column a method, the truth first; below them the mean course of active voxels, in percent.

    The slice with the most activation (the middle one in a run without), the middle frame; errors in shares of
    the truth's 99th percentile from -0.2 to 0.2; t from -12 to 12. Axes as in the file, the first to the right.
    """
    from PIL import Image, ImageDraw

    series = [("truth", run.truth), *((r.label, r.result.volume) for r in rows)]
    s = _slice(run)
    columns, rows_ = len(series), 3
    width = columns * (TILE + GAP) + GAP
    height = rows_ * (TILE + GAP) + CAPTION + (PLOT + 2 * GAP if run.events else 0)
    canvas = Image.new("RGB", (width, height), (0, 0, 0))
    draw = ImageDraw.Draw(canvas)
    middle = run.truth.frames // 2
    truth = run.truth.data[middle, ..., s]
    top = float(np.percentile(run.truth.data, 99))
    shades = pictures.Window(0.0, 1.2 * top)
    error, t_scale = pictures.Scale("diverging", ERROR * top), pictures.Scale("diverging", T_SCALE)
    for c, (label, volume) in enumerate(series):
        left = GAP + c * (TILE + GAP)
        draw.text((left, 3), label, fill=COLOURS[c % len(COLOURS)], font=pictures.font(14))
        shown = volume.data[middle, ..., s]
        for r, tile in enumerate(
            (
                pictures.grey(_turned(shown), shades),
                pictures.coloured(_turned(shown - truth), error),
                pictures.coloured(_turned(_t(volume, run, s)), t_scale),
            )
        ):
            image = tile.convert("RGB").resize((TILE, TILE), Image.Resampling.NEAREST)
            canvas.paste(image, (left, CAPTION + r * (TILE + GAP)))
    if run.events:
        _courses(draw, series, run, (GAP, height - PLOT - GAP, width - GAP, height - GAP))
    return pictures.png(canvas)


def _slice(run: KnownRun) -> int:
    if run.activation is None:
        return run.truth.grid.shape[2] // 2
    return int(run.activation.data.sum(axis=(0, 1)).argmax())


def _turned(picture: NDArray[np.floating]) -> NDArray[np.float32]:
    """Columns along the first axis, rows against the second."""
    return np.asarray(picture.T[::-1], dtype=np.float32)


def _t(volume: Volume, run: KnownRun, s: int) -> NDArray[np.float32]:
    tr = run.truth.facts.tr or run.scan.tr or 1.0
    events = run.events or paradigm("blocks", run.truth.frames * tr)
    t = fit(volume.data[..., s].astype(np.float64), design_matrix(events, volume.frames, tr)).t
    tissue = tissue_mask(run.truth.data)[..., s]
    return np.where(tissue, t, 0.0).astype(np.float32)


def _courses(
    draw: Any, series: Sequence[tuple[str, Volume]], run: KnownRun, box: tuple[int, int, int, int]
) -> None:
    """Mean over active voxels of the change from the temporal mean, in percent; -4 to 4."""
    if run.activation is None:
        return
    active, _ = activated(run.activation.data)
    x0, y0, x1, y1 = box
    draw.rectangle(box, outline=(90, 90, 90))
    for c, (_, volume) in enumerate(series):
        course = volume.data[:, active].mean(axis=1, dtype=np.float64)
        change = np.clip(100 * (course / course.mean() - 1), -4, 4)
        x = np.linspace(x0, x1, len(change))
        y = (y0 + y1) / 2 - change * (y1 - y0) / 8
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=COLOURS[c % len(COLOURS)], width=2)
