"""The report in a real browser: quiet, alone, and worked by mouse, finger and keyboard."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medsr.report.html import render
from medsr.result import Flag
from tests.report.builders import report_data
from tests.report.chromium import Page, find

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium here; CI has one")

STATE = """(() => {
  const figure = document.querySelector('figure.coronal');
  const at = (f) => [...f.querySelector('.stack').children].findIndex((image) => !image.hidden);
  return {
    wipe: Number(figure.querySelector('.wipe').value),
    slices: [...document.querySelectorAll('figure.coronal')].map(at),
    other: at(document.querySelector('figure.axial')),
    place: figure.querySelector('output').value,
    told: figure.querySelector('.wipe').getAttribute('aria-valuetext'),
  };
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("browser")
    file = folder / "report.html"
    data = report_data(name="a long name " * 9 + "x" * 90, flags=(Flag("warning", "y" * 200),))
    file.write_text(render(data, {"command": "z" * 300}), encoding="utf-8")
    with Page(folder) as browser:
        browser.file = file  # type: ignore[attr-defined]
        yield browser


def opened(page: Page, width: int = 1300, height: int = 1000, **more: bool) -> Page:
    page.events.clear()
    page.screen(width, height, **more)
    page.open(page.file)  # type: ignore[attr-defined]
    return page


def box(page: Page, what: str) -> tuple[float, float, float, float]:
    page(f"document.querySelector('{what}').scrollIntoView({{block: 'center'}})")
    return tuple(
        page(
            f"(b => [b.left, b.top, b.width, b.height])(document.querySelector('{what}').getBoundingClientRect())"
        )
    )


@pytest.mark.parametrize(("width", "height", "phone"), [(1300, 1000, False), (390, 844, True), (320, 600, True)])
@pytest.mark.parametrize("dark", [False, True])
def test_quiet_alone_and_no_wider_than_the_screen(
    page: Page, width: int, height: int, phone: bool, dark: bool
) -> None:
    opened(page, width, height, phone=phone, dark=dark)
    assert page.complaints() == []
    assert page.requests() == [Path(page.file).as_uri()]  # type: ignore[attr-defined]
    assert page("document.documentElement.scrollWidth") <= width
    picture = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"))
    assert (np.median(picture) < 60) == dark
    assert picture.std() > 10


def test_pictures_have_their_physical_shape(page: Page) -> None:
    opened(page)
    for plane, ratio in (("axial", 24 / 30), ("coronal", 24 / 28), ("sagittal", 30 / 28)):
        _, _, width, height = box(page, f"figure.{plane} .stage")
        assert width / height == pytest.approx(ratio, rel=0.01)


def test_mouse_moves_the_line(page: Page) -> None:
    opened(page)
    left, top, width, height = box(page, "figure.coronal .stage")
    place = {"y": top + height / 2, "button": "left", "clickCount": 1}
    page.call("Input.dispatchMouseEvent", type="mousePressed", x=left + 0.2 * width, **place)
    assert page(STATE)["wipe"] == pytest.approx(20, abs=1)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=left + 0.8 * width, buttons=1, **place)
    assert page(STATE)["wipe"] == pytest.approx(80, abs=1)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", x=left + 0.8 * width, **place)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=left + 0.3 * width, **place)
    state = page(STATE)
    assert state["wipe"] == pytest.approx(80, abs=1)
    assert state["told"] == f"{state['wipe']} % before"
    clip = page("getComputedStyle(document.querySelector('figure.coronal .before')).clipPath")
    assert f"{100 - state['wipe']}%" in clip


def test_finger_moves_the_line(page: Page) -> None:
    opened(page, 390, 844, phone=True)
    left, top, width, height = box(page, "figure.coronal .stage")
    for kind, share in (("touchStart", 0.5), ("touchMove", 0.6), ("touchMove", 0.7), ("touchMove", 0.9)):
        point = {"x": left + share * width, "y": top + height / 2}
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=[point])
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert page(STATE)["wipe"] == pytest.approx(90, abs=2)


def test_keys_move_the_line_and_change_the_slice(page: Page) -> None:
    opened(page)
    page("document.querySelector('figure.coronal .wipe').focus()")
    before = page(STATE)
    page.key("ArrowRight")
    assert page(STATE)["wipe"] == before["wipe"] + 1
    page.key("ArrowUp")
    after = page(STATE)
    assert after["wipe"] == before["wipe"] + 1
    assert after["slices"] == [n + 1 for n in before["slices"]]
    assert len(after["slices"]) == 3
    assert after["place"] != before["place"]
    assert after["other"] == before["other"]
    for _ in range(40):
        page.key("ArrowDown")
    assert page(STATE)["slices"] == [0, 0, 0]


def test_scroller_of_a_map_moves_all_pictures_of_its_plane(page: Page) -> None:
    opened(page)
    page("[...document.querySelectorAll('figure.coronal .slice')].at(-1).focus()")
    before = page(STATE)["slices"]
    page.key("ArrowRight")
    assert page(STATE)["slices"] == [n + 1 for n in before]


def test_buttons(page: Page) -> None:
    opened(page)
    for percent in (100, 0, 50):
        page(f"document.querySelector('button[data-wipe=\"{percent}\"]').click()")
        assert page("[...document.querySelectorAll('.wipe')].map((w) => Number(w.value))") == [percent] * 3
    small = box(page, "figure.axial .stage")[2]
    page("document.querySelector('.enlarge').click()")
    assert box(page, "figure.axial .stage")[2] > 1.5 * small


def test_before_is_left_of_the_line(page: Page) -> None:
    opened(page)
    left, top, width, height = box(page, "figure.coronal .stage")
    region = {"x": left, "y": top, "width": width, "height": height}
    shots = {}
    for percent in (100, 50, 0):
        page(f"document.querySelector('button[data-wipe=\"{percent}\"]').click()")
        shot = Image.open(io.BytesIO(page.screenshot())).convert("L")
        shots[percent] = np.asarray(
            shot.crop(tuple(round(v) for v in (left, top, left + width, top + height))), float
        )
    assert region["width"] > 100
    middle = round(width / 2)
    # clear of the line, its handle and the letters at the edges
    inner = slice(30, round(0.6 * height))
    assert np.abs(shots[50] - shots[100])[inner, 40 : middle - 25].max() < 3
    assert np.abs(shots[50] - shots[0])[inner, middle + 25 : -40].max() < 3
    assert np.abs(shots[100] - shots[0])[inner, 40:-40].max() > 20
