"""The HTML file: whole, alone, escaped, and with everything in it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medsr.errors import GeometryError, InputError
from medsr.models.card import card
from medsr.report.data import ReportData
from medsr.report.html import render
from medsr.result import Flag, Result
from medsr.volume import Grid, Volume
from tests.report.builders import report_data

PROVENANCE = {"version": "1.2.3", "command": "medsr reconstruct scan.nii.gz", "input_sha256": "ab" * 32}
VOID = {"meta", "img", "input", "br", "link", "path"}


class Page(HTMLParser):
    """Checks the nesting, and keeps elements, attributes and words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.inside: dict[str, str] = {}
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            self.inside[self.open[-1]] = data
        else:
            self.words += " " + " ".join(data.split())

    def all(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        return [a for t, a in self.elements if t == tag and (not kind or kind in (a.get("class") or "").split())]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(report_data(flags=(Flag("warning", "the sform was taken"),)), PROVENANCE))


def test_asks_for_nothing_from_anywhere(page: Page) -> None:
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "style", "onload", "onclick"):
            value = attributes.get(name)
            assert value is None or (name == "src" and value.startswith(("data:image/png;", "data:image/jpeg;")))
    assert not re.search(r"url\(|@import|@font-face|https?:", page.inside["style"])
    assert not re.search(r"fetch|XMLHttpRequest|import\(|https?:|innerHTML|eval", page.inside["script"])
    assert not {tag for tag, _ in page.elements} & {
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "audio",
        "video",
    }


def test_policy_allows_its_own_style_and_script_only(page: Page) -> None:
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inside[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
        assert len(page.all(kind)) == 1
    assert "unsafe" not in policy


def test_pictures_are_there_and_sliders_for_them(page: Page) -> None:
    assert [a["data-plane"] for a in page.all("figure")] == ["axial", "coronal", "sagittal"] * 3
    assert len(page.all("input", "wipe")) == 3
    assert len(page.all("input", "slice")) == 9
    assert all(a["aria-label"] for a in page.all("input", "wipe"))
    assert all(a["alt"] for a in page.all("img"))
    assert len(page.all("span", "left")) == 9
    scrollers = page.all("input", "slice")
    for scroller in scrollers:
        assert len((scroller["data-places"] or "").split("|")) == int(scroller["max"] or 0)
    shown = [a for a in page.all("img") if a["alt"] != "colour bar" and "hidden" not in a]
    assert len(shown) == 3 * 2 + 3 + 3


def test_images_are_images_of_the_size_they_say(page: Page) -> None:
    for attributes in page.all("img"):
        content = base64.b64decode((attributes["src"] or "").partition("base64,")[2])
        image = Image.open(io.BytesIO(content))
        image.load()
        if attributes["alt"] != "colour bar":
            assert image.size == (int(attributes["width"] or 0), int(attributes["height"] or 0))


@pytest.mark.parametrize(
    "words",
    [
        "scan.nii.gz",
        "24 x 30 x 7 voxels of 1 x 1 x 4 mm",
        "24 × 30 × 28",
        "0.0312",
        "0.987",
        "✓ kept: at most 1.1",
        "✓ Promise kept",
        "⚠ Warning",
        "the sform was taken",
        "gaussian 4 mm",
        "slice thickness 4 mm, by the header",
        "Noise, σ 2",
        "−3σ 0 +3σ",
        "LAS",
        "1.2.3",
        "ab" * 32,
        "medsr reconstruct scan.nii.gz",
        card("spline").citation,
        "reconstruct 1.50 s",
        "For research use only.",
        "Radiological convention",
    ],
)
def test_says(page: Page, words: str) -> None:
    assert words in page.words


def test_missed_promise_is_said_in_words() -> None:
    data = report_data(
        figures={"residual_over_data": 0.2, "residual_over_noise": 1.53},
        flags=(Flag("missed", "‖A x - y‖ / (σ √N) is 1.53"),),
    )
    words = Page(render(data, {})).words
    assert "✗ Promise missed" in words
    assert "✗ missed: at most 1.1" in words
    assert "‖A x - y‖ / (σ √N) is 1.53" in words
    assert "✓" not in words


@pytest.mark.parametrize(
    "changes", [{"card": None}, {"method": "linear", "card": card("linear")}, {"figures": {}}]
)
def test_no_promise_is_not_called_kept(changes: dict[str, Any]) -> None:
    words = Page(render(report_data(**changes), {})).words
    assert "○ No promise" in words
    assert "✓" not in words


NASTY = '</title><script>alert(1)</script><img src=x onerror="alert(2)">\'"&$name ${js}\u202e\n\x1b[31m'


def test_no_text_becomes_markup() -> None:
    plain = report_data(flags=(Flag("warning", "x"),))
    data = report_data(
        name=NASTY,
        method=NASTY,
        acquisition={"point_spread": {NASTY: NASTY, "z": NASTY}, "noise": 2.0, "assumptions": [NASTY]},
        figures={"residual_over_noise": 0.987, NASTY: 3.0},
        flags=(Flag("warning", NASTY),),
        timings={NASTY: 1.0},
        card=replace(card("spline"), summary=NASTY, citation=NASTY, uncertainty=NASTY),
    )
    nasty = {NASTY: NASTY, "command": NASTY, "options": {NASTY: [NASTY]}, "version": "surrogate \udcff"}
    made = render(data, nasty)
    made.encode()
    page = Page(made)
    assert len(page.all("script")) == 1
    assert not any("onerror" in a for _, a in page.elements)
    kinds = {tag for tag, _ in page.elements}
    assert kinds == {tag for tag, _ in Page(render(plain, PROVENANCE)).elements}
    assert page.words.count("<script>alert(1)</script>") >= 10
    assert "\u202e" not in made
    assert "\x1b" not in made


def test_same_input_same_bytes() -> None:
    assert render(report_data(), PROVENANCE) == render(report_data(), dict(PROVENANCE))


def test_noise_free_residual_is_in_the_units_of_the_scan() -> None:
    data = report_data(
        acquisition={"noise": 0.0},
        figures={"residual_over_data": 2e-5},
        residual=np.full((24, 30, 7), 0.25, np.float32),
    )
    words = Page(render(data, {})).words
    assert "−0.250 0 +0.250" in words
    assert "in the scan's units" in words
    assert "taken as none" in words
    assert "2.00 × 10⁻⁵" in words
    assert "✓ kept: at most 0.001" in words


def test_without_maps() -> None:
    page = Page(render(report_data(residual=None, uncertainty=None), {}))
    assert len(page.all("figure")) == 3
    assert "Uncertainty" not in page.words


def test_series() -> None:
    plain = report_data()
    rng = np.random.default_rng(0)
    data = report_data(
        image=plain.image + rng.normal(0, 2, (9, *plain.image.shape)),
        scan=np.stack([plain.scan] * 9),
        residual=np.stack([plain.residual] * 9),
        uncertainty=None,
    )
    page = Page(render(data, {}))
    assert "Temporal signal-to-noise ratio" in page.words
    assert "Frame 5 of the series" in page.words
    assert "9 frames of" in page.words
    assert len(page.all("figure")) == 9
    assert len(page.all("input", "slice")) == 6


@pytest.mark.parametrize("shape", [(1, 1, 1), (40, 30, 1), (1, 200, 3), (2, 2, 700)])
@pytest.mark.parametrize("value", [0.0, np.nan, 5.0])
def test_odd_volumes(shape: tuple[int, int, int], value: float) -> None:
    grid = Grid(shape, np.diag([0.7, -1.0, 3.0, 1.0]))
    flat = np.full(shape, value, dtype=np.float32)
    Page(
        render(report_data(image=flat, grid=grid, scan=flat, scan_grid=grid, residual=flat, uncertainty=flat), {})
    )


def test_integers_and_memory_maps(tmp_path: Any) -> None:
    plain = report_data()
    path = tmp_path / "scan"
    np.rint(plain.scan).astype(">i2").tofile(path)
    mapped = np.memmap(path, dtype=">i2", mode="r", shape=plain.scan.shape)
    Page(render(report_data(scan=mapped), {}))


def test_size_of_a_large_noisy_result() -> None:
    scan_grid = Grid((256, 256, 45), np.diag([1.0, 1.0, 4.0, 1.0]))
    grid = scan_grid.resampled([1, 1, 1])
    rng = np.random.default_rng(0)
    scan = (500 + 100 * rng.standard_normal(scan_grid.shape, dtype=np.float32)).astype(np.float32)
    image = scan.repeat(4, axis=2)
    data = report_data(
        image=image,
        grid=grid,
        scan=scan,
        scan_grid=scan_grid,
        residual=(scan - 500) / 50,
        uncertainty=np.abs(image - 500),
    )
    made = render(data, PROVENANCE)
    assert len(made.encode()) < 6e6
    assert "data:image/jpeg" in made
    assert "as JPEG, quality" in made


def test_images_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(GeometryError, match="residual does not fit its grid"):
        report_data(residual=np.zeros((3, 3, 3)))
    with pytest.raises(GeometryError, match="at an angle"):
        report_data(scan_grid=Grid((24, 30, 7), np.diag([1.0, 1.0, 4.0, 1.0])))


def volumes() -> dict[str, Volume]:
    data = report_data()
    assert data.residual is not None
    return {
        "volume": Volume(data.image, data.grid),
        "measured": Volume(data.scan, data.scan_grid, source="/data/Jane Roe/scan.nii.gz"),
        "residual": Volume(data.residual, data.scan_grid),
    }


SIDECAR: dict[str, Any] = {
    "Description": "x",
    "medsr": {
        "version": "1.2.3",
        "command": ["medsr", "reconstruct", "/data/Jane Roe/scan.nii.gz", r"C:\Jane Roe\x.nii", "-o", "out"],
        "method": "spline",
        "citation": "somebody",
        "options": {"spacing": [1, 1, 1]},
        "input": {"name": "scan.nii.gz", "sha256": "cd" * 32},
        "geometry": {"before": {}, "after": {}},
        "acquisition": {"point_spread": {"z": "boxcar 4 mm"}, "noise": 2.0, "assumptions": []},
        "figures": {"residual_over_noise": 1.7},
        "promises": "missed",
        "flags": [{"level": "missed", "text": "too far off"}],
        "seconds": {"read": 0.5},
    },
}


def test_made_again_from_the_sidecar() -> None:
    said = SIDECAR["medsr"]
    result = Result(
        **volumes(),
        method="spline",
        acquisition=said["acquisition"],
        figures=said["figures"],
        flags=(Flag("missed", "too far off"),),
        timings=said["seconds"],
    )
    first = render(result, SIDECAR)
    read_back = json.loads(json.dumps(SIDECAR))
    assert first == render(ReportData.from_sidecar(read_back, **volumes()), read_back)
    words = Page(first).words
    assert "medsr reconstruct scan.nii.gz x.nii -o out" in words
    assert "cd" * 32 in words
    assert "Jane" not in words


@pytest.mark.parametrize(
    "change",
    [
        {"medsr": 3},
        {"medsr": {}},
        {"medsr": {**SIDECAR["medsr"], "figures": {"a": "b"}}},
        {"medsr": {**SIDECAR["medsr"], "flags": 3}},
    ],
)
def test_other_sidecars_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="sidecar cannot be used"):
        ReportData.from_sidecar(change, **volumes())
