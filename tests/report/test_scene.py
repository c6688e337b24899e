"""Pictures are the right way round, in the right place and of the right size, however the grid lies."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from medsr.errors import GeometryError
from medsr.report.scene import PLANES, Scene, nearest_axes, orientation, tilt
from medsr.volume import Grid

SPACING = np.array((2.0, 1.5, 4.0))
SHAPE = np.array((40, 60, 24))


def turn(degrees: float) -> NDArray[np.float64]:
    a, b = np.radians(degrees), np.radians(-0.6 * degrees)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return about_z @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])


def laid(order: tuple[int, ...], signs: tuple[int, ...], degrees: float) -> Grid:
    """A grid whose file axes run along the turned world axes `order`, there or back."""
    affine = np.eye(4)
    for a, (w, s) in enumerate(zip(order, signs, strict=True)):
        affine[:3, a] = turn(degrees)[:, w] * s * SPACING[a]
    affine[:3, 3] = (13.0, -27.0, 5.0) - affine[:3, :3] @ ((SHAPE - 1) / 2)
    return Grid(tuple(int(n) for n in SHAPE), affine)


def blob(grid: Grid, place: NDArray[np.float64], width: float = 3.0) -> NDArray[np.float32]:
    """A bright marker at a place of the world."""
    points = grid.to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))
    return np.exp(-((points - place) ** 2).sum(-1) / (2 * width**2)).astype(np.float32)


def brightest(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """Centre of brightness, (column, row) from the outer edge of the picture, in pixels."""
    values = np.nan_to_num(picture).astype(float)
    rows, columns = np.indices(values.shape)
    return np.array([(values * (columns + 0.5)).sum(), (values * (rows + 0.5)).sum()]) / values.sum()


LAYS = [
    pytest.param(order, signs, degrees, id=f"{order}{signs}{degrees}")
    for order in permutations(range(3))
    for signs, degrees in zip(product((1, -1), repeat=3), (0, 20, -33, 0, 12, 0, -20, 40), strict=True)
]


@pytest.mark.parametrize(("order", "signs", "degrees"), LAYS)
def test_marker_lands_at_its_place(order: tuple[int, ...], signs: tuple[int, ...], degrees: float) -> None:
    scan_grid = laid(order, signs, degrees)
    grid = scan_grid.resampled([1.5, 1.5, 1.5])
    axes = turn(degrees)
    offset = np.array((11.0, -14.0, 8.0))  # to the right, behind, above the centre, along the turned axes
    place = grid.centre + axes @ offset
    scene = Scene(grid)
    for plane in PLANES:
        extent, pixels = np.array(scene.extent(plane)), np.array(scene.pixels(plane))
        ahead = np.array([offset[plane.across], offset[plane.down]])
        expected = (extent / 2 - ahead) / extent * pixels
        index = round((scene.count(plane) - 1) / 2 - offset[plane.normal] / 1.5)
        for volume_grid, tolerance in ((grid, 0.1), (scan_grid, 1.4)):
            picture = scene.cut(blob(volume_grid, place), volume_grid, plane, index)
            assert picture.shape == tuple(pixels[::-1])
            assert np.abs(brightest(picture) - expected).max() < tolerance
        # a patient's right is on the left of an axial and a coronal, behind is right on a sagittal, above is up
        left, upper = brightest(picture) < pixels / 2
        assert (left, upper) == (ahead[0] > 0, ahead[1] > 0)


def test_edges_name_the_sides() -> None:
    assert {p.name: p.edges for p in PLANES} == {
        "axial": ("R", "L", "A", "P"),
        "coronal": ("R", "L", "S", "I"),
        "sagittal": ("A", "P", "S", "I"),
    }


@pytest.mark.parametrize(("order", "signs", "degrees"), LAYS[::5])
def test_slices_run_from_the_positive_end_and_say_where_they_are(
    order: tuple[int, ...], signs: tuple[int, ...], degrees: float
) -> None:
    grid = laid(order, signs, degrees)
    scene = Scene(grid)
    for plane in PLANES:
        last = scene.count(plane) - 1
        middle = [scene.place(plane, 0), scene.place(plane, last)]
        assert middle[0] > middle[1]
        assert np.mean(middle) == pytest.approx(grid.centre[plane.normal])
        if degrees == 0:
            found = grid.to_world(np.argwhere(np.ones(grid.shape)))[:, plane.normal]
            assert middle == pytest.approx([found.max(), found.min()])


@pytest.mark.parametrize("scale", [(1, 1, 4), (0.5, 0.5, 0.5), (3, 1, 0.7), (1, 1, 1)])
def test_aspect_is_physical(scale: tuple[float, ...]) -> None:
    grid = Grid((60, 40, 30), np.diag([*scale, 1.0]))
    scene = Scene(grid)
    for plane in PLANES:
        (w, h), (columns, rows) = scene.extent(plane), scene.pixels(plane)
        assert (w, h) == (
            60 * scale[0] if plane.across == 0 else 40 * scale[1],
            (0, 40, 30)[plane.down] * scale[plane.down],
        )
        assert columns / rows == pytest.approx(w / h, rel=0.02)
        assert scene.cut(np.ones(grid.shape), grid, plane, 0).shape == (rows, columns)


def test_scan_is_shown_by_its_own_voxels() -> None:
    scan_grid = Grid((8, 9, 5), np.diag([1.0, 1.0, 4.0, 1.0]))
    grid = scan_grid.resampled([1, 1, 1])
    scan = np.random.default_rng(0).normal(size=scan_grid.shape).astype(np.float32)
    coronal = Scene(grid).cut(scan, scan_grid, PLANES[1], 3)
    assert np.array_equal(coronal, scan[::-1, 9 - 1 - 3, ::-1].T.repeat(4, axis=0))


def test_outside_of_the_scan_there_is_nothing() -> None:
    scan_grid = Grid((8, 9, 5), np.diag([1.0, 1.0, 4.0, 1.0]))
    shifted = np.diag([1.0, 1.0, 1.0, 1.0])
    shifted[:3, 3] = (-3, 0, 30)
    picture = Scene(Grid((8, 9, 5), shifted)).cut(np.ones(scan_grid.shape), scan_grid, PLANES[0], 0)
    assert np.isnan(picture).all()
    shifted[2, 3] = 8
    picture = Scene(Grid((8, 9, 5), shifted)).cut(np.ones(scan_grid.shape), scan_grid, PLANES[0], 0)
    assert np.isnan(picture[:, -3:]).all()
    assert (picture[:, :-3] == 1).all()


def test_pixels_are_limited() -> None:
    scene = Scene(Grid((900, 300, 20), np.diag([0.3, 0.3, 0.3, 1])), most=256)
    assert scene.pixels(PLANES[0]) == (256, 85)
    assert scene.cut(np.ones((900, 300, 20)), scene.grid, PLANES[0], 3).shape == (85, 256)


def test_grids_at_an_angle_are_refused() -> None:
    with pytest.raises(GeometryError, match="at an angle"):
        Scene(laid((0, 1, 2), (1, 1, 1), 0)).check(laid((0, 1, 2), (1, 1, 1), 3))


def test_scan_and_result_agree_on_the_nearest_axis_where_two_are_equally_near() -> None:
    for degrees in (45.0, 45.0 + 1e-13, 45.0 - 1e-13):
        grid = laid((0, 1, 2), (1, -1, 1), degrees)
        other = Grid(grid.shape, grid.affine * (1 + 1e-12))
        place = grid.centre + turn(45)[:, 0] * 15
        scene = Scene(grid)
        first = scene.cut(blob(grid, place), grid, PLANES[0], 12)
        second = scene.cut(blob(other, place), other, PLANES[0], 12)
        assert np.abs(brightest(first) - brightest(second)).max() < 0.5


def test_orientation_and_tilt() -> None:
    assert orientation(laid((0, 1, 2), (1, 1, 1), 0)) == "RAS"
    assert orientation(laid((1, 2, 0), (-1, 1, -1), 20)) == "PSL"
    assert tilt(laid((2, 0, 1), (1, -1, 1), 0)) == pytest.approx(0, abs=1e-5)
    assert tilt(Grid((2, 2, 2), np.block([[turn(30), np.zeros((3, 1))], [np.zeros((1, 3)), 1]]))) > 30
    grid = laid((1, 0, 2), (-1, 1, 1), 33)
    assert np.allclose(nearest_axes(grid), turn(33))


def test_content_is_found_and_axes_are_named() -> None:
    grid = laid((2, 0, 1), (1, 1, 1), 0)
    data = np.zeros(grid.shape, dtype=np.float32)
    data[10:20, :, 5:9] = 1  # the first axis runs up, the second right, the third forward
    scene = Scene(grid)
    assert scene.content(data, 0.5) == {"axial": (20, 29), "coronal": (15, 18), "sagittal": (0, 59)}
    assert scene.axes_of_file == ("inferior-superior", "left-right", "posterior-anterior")
    assert scene.content(np.zeros(grid.shape), 0.5)["coronal"] == (0, 23)
