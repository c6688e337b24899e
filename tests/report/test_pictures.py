"""Windows, scales, files of pictures."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from medsr.report import pictures
from medsr.report.pictures import Scale, Window
from medsr.report.scene import PLANES, Scene
from medsr.result import Result
from medsr.volume import Grid, Volume
from tests.report.builders import report_data


def test_window_holds_nearly_all_of_the_scan_and_no_outlier() -> None:
    scan = np.random.default_rng(0).uniform(10, 110, (40, 40, 40))
    scan[3, 4, 5] = 1e9
    shades = pictures.window(scan)
    assert shades.low == pytest.approx(10.5, abs=0.3)
    assert shades.high == pytest.approx(109.7, abs=0.3)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_window_of_a_scan_without_contrast(value: float) -> None:
    shades = pictures.window(np.full((4, 5, 6), value))
    assert np.isfinite([shades.low, shades.high]).all()
    assert shades.high > shades.low


def test_grey_is_black_to_white_and_black_where_there_is_nothing() -> None:
    shown = pictures.grey(np.array([[-5, 0, 50, 100, 900, np.nan]], dtype=np.float32), Window(0, 100))
    assert np.asarray(shown).tolist() == [[0, 0, 128, 255, 255, 0]]


def test_residual_is_scaled_by_the_noise_where_it_is_known() -> None:
    residual = np.random.default_rng(0).normal(0, 2.0, (30, 30, 30))
    assert pictures.residual_scale(residual, 2.0) == Scale("diverging", 6.0, 2.0)
    unexplained = pictures.residual_scale(5 * residual, 2.0)
    assert unexplained.unit == 2.0
    assert unexplained.limit == pytest.approx(28.0)
    assert pictures.residual_scale(residual, 0.0).limit == pytest.approx(2 * 2.807, rel=0.05)
    assert pictures.residual_scale(np.zeros((3, 3, 3)), 0.0).limit == 1.0


def test_diverging_map_is_dark_in_the_middle_and_symmetric_in_brightness() -> None:
    scale = Scale("diverging", 3.0)
    shown = np.asarray(pictures.coloured(np.array([[-9, -3, 0, 3, 9, np.nan]], np.float32), scale).convert("RGB"))
    blue, dark, orange = shown[0, 1].astype(int), shown[0, 2].astype(int), shown[0, 3].astype(int)
    assert np.array_equal(shown[0, 0], shown[0, 1])
    assert np.array_equal(shown[0, 5], shown[0, 2])
    assert dark.max() < 20
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]
    assert abs(int(blue.sum()) - int(orange.sum())) < 30


def test_sequential_map_grows_brighter() -> None:
    weights = np.array([0.299, 0.587, 0.114])
    assert (np.diff(Scale("sequential", 1.0).colours @ weights) > 0).all()


@pytest.mark.parametrize(
    ("first", "last", "count", "expected"),
    [(0, 4, 9, [0, 1, 2, 3, 4]), (0, 9, 5, [1, 3, 5, 7, 9]), (7, 7, 3, [7]), (10, 109, 4, [22, 47, 72, 97])],
)
def test_slices_are_spread_evenly(first: int, last: int, count: int, expected: list[int]) -> None:
    assert pictures.pick_slices(first, last, count) == expected


def test_temporal_snr() -> None:
    rng = np.random.default_rng(0)
    series = (100 + rng.normal(0, [[[[4.0]]]], (40, 6, 5, 4))).astype(np.float32)
    scene = Scene(Grid((6, 5, 4), np.eye(4)))
    found = pictures.temporal_snr(series, scene, PLANES[0], 0)
    expected = (series.mean(axis=0) / series.std(axis=0, ddof=1))[::-1, ::-1, 3].T
    assert np.allclose(found, expected, rtol=1e-4)
    assert not pictures.temporal_snr(np.ones((9, 6, 5, 4)), scene, PLANES[0], 0).any()


def test_side_by_side_is_a_picture_of_both() -> None:
    data = report_data()
    file = pictures.side_by_side(data, width=900)
    assert file == pictures.side_by_side(data, width=900)
    image = Image.open(io.BytesIO(file))
    assert image.format == "PNG"
    assert image.width <= 900
    upper, lower = np.split(np.asarray(image.convert("L"), dtype=float)[: image.height // 2 * 2], 2)
    assert upper.mean() == pytest.approx(lower.mean(), rel=0.1)
    assert upper.mean() > 15


def test_side_by_side_takes_a_result() -> None:
    data = report_data()
    result = Result(
        volume=Volume(data.image, data.grid),
        measured=Volume(data.scan, data.scan_grid, source=r"C:\scans\scan.nii.gz"),
        residual=Volume(data.residual, data.scan_grid),
        method="spline",
    )
    assert pictures.side_by_side(result) == pictures.side_by_side(data)


@pytest.mark.parametrize("shape", [(1, 40, 30), (40, 1, 1), (2, 2, 300)])
def test_side_by_side_of_odd_shapes(shape: tuple[int, int, int]) -> None:
    grid = Grid(shape, np.eye(4))
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    file = pictures.side_by_side(
        report_data(image=data, grid=grid, scan=data, scan_grid=grid, residual=None, uncertainty=None)
    )
    width, height = Image.open(io.BytesIO(file)).size
    assert 0 < width <= 1201
    assert 0 < height < 4000


def test_the_middle_frame_of_a_series_is_shown() -> None:
    data = report_data(residual=None, uncertainty=None)
    frames = [0 * data.image, 0 * data.image, data.image, 0 * data.image]
    series = replace(data, image=np.stack(frames), scan=np.stack([data.scan] * 4))
    assert pictures.side_by_side(series) == pictures.side_by_side(data)
