"""The pictures of a report as markup: a before/after slider and the maps, in three planes, slice by slice."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.report import pictures
from medsr.report.data import ReportData
from medsr.report.scene import LETTERS, PLANES, Plane, Scene
from medsr.report.words import number, text
from medsr.volume import Grid

SLICES, FEWER_SLICES = 13, 9
LARGE = 320
"""Pixels of a picture's longer side from which on fewer slices are shown."""
MAP_PIXELS = 256
LOSSLESS_BYTES = 1_800_000
"""Of all grey pictures together; JPEG where PNG would take more."""
JPEG_QUALITY = 88
TSNR_FRAMES = 8


class Pictures:
    """All pictures of one report; slices are cut, encoded and dropped one at a time."""

    def __init__(self, data: ReportData) -> None:
        self._data = data
        self.scene = Scene(data.grid)
        self._map_scene = Scene(data.grid, MAP_PIXELS)
        self._before, self._after = data.shown(data.scan), data.shown(data.image)
        self._window = pictures.window(self._before)
        level = self._window.low + 0.1 * (self._window.high - self._window.low)
        content = self.scene.content(self._after, level)
        count = SLICES if max(max(self.scene.pixels(p)) for p in PLANES) <= LARGE else FEWER_SLICES
        self._slices = {p.name: pictures.pick_slices(*content[p.name], count) for p in PLANES}
        self._lossless = self._lossless_bytes() <= LOSSLESS_BYTES

    def rules(self) -> str:
        """CSS with the sizes of this volume: all planes at one scale where the screen is wide."""
        wide = [max(self.scene.extent(p)[0], 0.4 * max(self.scene.extent(q)[0] for q in PLANES)) for p in PLANES]
        rules = []
        for plane in PLANES:
            w, h = self.scene.extent(plane)
            rules.append(
                f".{plane.name} .stage{{aspect-ratio:{w:.3f}/{h:.3f};width:min(100%,{80 * w / h:.3f}vh)}}"
            )
        columns = " ".join(f"minmax(0,{w:.3f}fr)" for w in wide)
        rules.append(f"@media (min-width:760px),print{{.planes{{grid-template-columns:{columns}}}}}")
        return "\n".join(rules) + "\n"

    def words(self) -> str:
        """What the pictures show, and how."""
        frame = f" Frame {self._data.frame + 1} of the series." if self._data.image.ndim == 4 else ""
        stored = "without loss" if self._lossless else f"as JPEG, quality {JPEG_QUALITY}"
        return (
            "Left of the line the scan as it was, each voxel a block; right of it the result, in the same window "
            f"({number(self._window.low)} to {number(self._window.high)}). Radiological convention: the patient's "
            "right is on the left. Drag the line, or use the arrow keys: left and right move it, up and down "
            f"change the slice.{frame} Pictures are stored {stored}."
        )

    def comparisons(self) -> str:
        """The three before/after sliders."""
        return "\n".join(self._comparison(plane) for plane in PLANES)

    def maps(self) -> str:
        """Sections for the residual, the uncertainty and the temporal signal-to-noise ratio, those there are."""
        return "\n".join(section for section in (self._residual(), self._uncertainty(), self._tsnr()) if section)

    def _comparison(self, plane: Plane) -> str:
        slices, data = self._slices[plane.name], self._data
        shown = (("after", self._after, data.grid), ("before", self._before, data.scan_grid))
        stacks = [
            self._stack(plane, kind, slices, (self._grey(self.scene.cut(array, grid, plane, k)) for k in slices))
            for kind, array, grid in shown
        ]
        inner = (
            f'{"".join(stacks)}{self._edges(plane)}<span class="tag one">before</span>'
            '<span class="tag two">after</span>'
            '<div class="handle"></div>'
            '<input class="wipe" type="range" min="0" max="100" step="1" value="50" '
            f'aria-label="{plane.name} plane: how much of the scan before is shown">'
        )
        return self._figure(plane, "stage compare", inner, slices)

    def _residual(self) -> str:
        data = self._data
        if data.residual is None:
            return ""
        shown = data.shown(data.residual)
        if data.card is not None and data.card.kind == "kspace":
            scale = pictures.uncertainty_scale(shown)
            words = (
                "What the result leaves of the raw data, y − Ax, gridded into an image: root mean square over the "
                "frames, in the image's units. An even haze is noise; anatomy seen here is not explained."
            )
            return self._map(
                "residual", "Residual", words, shown, data.scan_grid, scale, ["0", "", number(scale.limit)]
            )
        scale = pictures.residual_scale(shown, data.noise)
        if scale.unit is None:
            span, unit = [f"−{number(scale.limit)}", "0", f"+{number(scale.limit)}"], "the scan's units"
        else:
            steps = number(scale.limit / scale.unit)
            span = [f"−{steps}σ", "0", f"+{steps}σ"]
            unit = f"standard deviations of the noise (σ = {number(scale.unit)})"
        words = (
            f"The scan less what the result predicts of it, y − Ax, in {unit}. Orange: the scan is brighter. "
            "Edges and anatomy seen here are not explained by the result; plain noise is what should be left."
        )
        return self._map("residual", "Residual", words, shown, data.scan_grid, scale, span)

    def _uncertainty(self) -> str:
        data = self._data
        if data.uncertainty is None:
            return ""
        shown = data.shown(data.uncertainty)
        scale = pictures.uncertainty_scale(shown)
        interval = f" ({data.card.uncertainty})" if data.card and data.card.uncertainty else ""
        words = (
            f"Half width of the interval around each voxel of the result, in the scan's units{interval}. "
            "Bright: the scan says little here, and the result is least sure."
        )
        span = ["0", "", f"±{number(scale.limit)}"]
        return self._map("uncertainty", "Uncertainty", words, shown, data.grid, scale, span)

    def _tsnr(self) -> str:
        series = self._data.image
        if series.ndim != 4 or len(series) < TSNR_FRAMES:
            return ""
        scene = self._map_scene
        cuts = {}
        for plane in PLANES:
            middle = self._slices[plane.name][len(self._slices[plane.name]) // 2]
            cuts[plane.name] = (middle, pictures.temporal_snr(series, scene, plane, middle))
        reach = float(np.percentile(np.concatenate([c.ravel() for _, c in cuts.values()]), 99.5))
        scale = pictures.Scale("sequential", reach or 1.0)
        figures = []
        for plane in PLANES:
            middle, cut = cuts[plane.name]
            stack = self._stack(plane, "map", [middle], [_colours(cut, scale)])
            figures.append(self._figure(plane, "stage", stack + self._edges(plane), [middle]))
        words = f"Mean over standard deviation in time of the result, {len(series)} frames, not detrended."
        title, span = "Temporal signal-to-noise ratio", ["0", "", number(scale.limit)]
        return _section("tsnr", title, words, "\n".join(figures), scale, span)

    def _map(
        self,
        key: str,
        title: str,
        words: str,
        array: NDArray[Any],
        grid: Grid,
        scale: pictures.Scale,
        span: list[str],
    ) -> str:
        figures = []
        for plane in PLANES:
            slices = self._slices[plane.name]
            cuts = (self._map_scene.cut(array, grid, plane, k) for k in slices)
            stack = self._stack(plane, "map", slices, (_colours(cut, scale) for cut in cuts))
            figures.append(self._figure(plane, "stage", stack + self._edges(plane), slices))
        return _section(key, title, text(words), "\n".join(figures), scale, span)

    def _figure(self, plane: Plane, kind: str, inner: str, slices: list[int]) -> str:
        places = [_place(plane, self.scene.place(plane, k)) for k in slices]
        middle = len(slices) // 2
        scroller = ""
        if len(slices) > 1:
            scroller = (
                f'<label class="scroller">Slice<input class="slice" type="range" min="1" max="{len(slices)}" '
                f'step="1" value="{middle + 1}" data-places="{"|".join(places)}" '
                f'aria-valuetext="slice {middle + 1} of {len(slices)}, {places[middle]}"></label>'
            )
        return (
            f'<figure class="{plane.name}" data-plane="{plane.name}"><figcaption>{plane.name.capitalize()}'
            f'<output>{places[middle]}</output></figcaption><div class="{kind}">{inner}</div>{scroller}</figure>'
        )

    def _edges(self, plane: Plane) -> str:
        w, h = self.scene.extent(plane)
        sides = zip(("left", "right", "top", "bottom"), plane.edges, strict=True)
        letters = "".join(f'<span class="edge {side}">{letter}</span>' for side, letter in sides)
        length = next((mm for mm in (50, 20, 10, 5, 2, 1) if mm <= w / 3), None)
        if length is None:
            return letters
        x, y = 0.03 * w, 0.97 * h
        return (
            f'{letters}<svg class="bar" viewBox="0 0 {w:.3f} {h:.3f}" preserveAspectRatio="none" '
            f'aria-hidden="true"><path d="M{x:.3f} {y:.3f}h{length}"/></svg><span class="mm">{length} mm</span>'
        )

    def _grey(self, cut: NDArray[np.float32]) -> str:
        image = pictures.grey(cut, self._window)
        if self._lossless:
            return _uri("png", pictures.png(image))
        return _uri("jpeg", pictures.jpeg(image, JPEG_QUALITY))

    def _stack(self, plane: Plane, kind: str, slices: list[int], uris: Iterable[str]) -> str:
        """Images of `slices`, the middle one shown, from their data URIs; these are made one by one."""
        images = []
        width, height = self.scene.pixels(plane)
        for i, (k, uri) in enumerate(zip(slices, uris, strict=True)):
            place = _place(plane, self.scene.place(plane, k))
            hidden = "" if i == len(slices) // 2 else " hidden"
            images.append(
                f'<img width="{width}" height="{height}" alt="{kind}, {plane.name} slice at {place}" '
                f'src="{uri}"{hidden}>'
            )
        return f'<div class="stack {kind}">{"".join(images)}</div>'

    def _lossless_bytes(self) -> int:
        """Bytes of all grey pictures as PNG, judged by each plane's middle slice."""
        total = 0
        for plane in PLANES:
            slices = self._slices[plane.name]
            for array, grid in ((self._before, self._data.scan_grid), (self._after, self._data.grid)):
                cut = self.scene.cut(array, grid, plane, slices[len(slices) // 2])
                total += len(slices) * len(pictures.png(pictures.grey(cut, self._window)))
        return total


def _section(key: str, title: str, words: str, figures: str, scale: pictures.Scale, span: list[str]) -> str:
    bar = _uri("png", pictures.png(pictures.colour_bar(scale)))
    ends = "".join(f"<span>{end}</span>" for end in span)
    return (
        f'<section aria-labelledby="{key}"><h2 id="{key}">{title}</h2><p class="lead">{words}</p>'
        f'<div class="planes">{figures}</div>'
        f'<div class="legend"><img alt="colour bar" src="{bar}">{ends}</div></section>'
    )


def _colours(cut: NDArray[np.float32], scale: pictures.Scale) -> str:
    return _uri("png", pictures.png(pictures.coloured(cut, scale)))


def _place(plane: Plane, mm: float) -> str:
    shown = f"{abs(mm):.1f} mm"
    if shown == "0.0 mm":
        return shown
    return f"{LETTERS[plane.normal][int(mm < 0)]} {shown}"


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
