"""The ablation of the shifts: its scan lies where the head does, its rows are what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medsr.acquisition.slices import SliceAcquisition
from medsr.methods.base import no_progress
from medsr.methods.interpolation import bspline
from medsr.methods.regss import regss
from medsr.volume import Grid, Volume
from pipelines.benchmarks import regss as benchmark
from tests.conftest import smooth_head

SHAPE = (23, 24, 21)


@pytest.fixture(scope="module")
def head() -> Volume:
    return Volume(smooth_head(SHAPE), Grid(SHAPE, np.diag([-1.0, 1.0, 1.0, 1.0])))


def test_the_scan_lies_where_the_head_does(head: Volume) -> None:
    scan, acquisition, truth = benchmark.released_scan(head)
    assert truth.grid.shape == (22, 24, 20)
    assert tuple(scan.shape) == acquisition.measured.shape == (11, 12, 10)
    np.testing.assert_allclose(acquisition.measured.centre, truth.grid.centre, atol=1e-9)
    np.testing.assert_array_equal(truth.data, head.data[:22, :, :20])
    error = bspline(scan, acquisition, no_progress).data.numpy() - truth.data
    # the nearest Gaussian explains it, though it is none
    off = acquisition.operator(torch.from_numpy(truth.data)) - scan
    assert off.norm() < 0.1 * np.linalg.norm(error)


def test_the_rows_are_what_they_say(head: Volume) -> None:
    scan, acquisition, _ = benchmark.released_scan(head)
    rows = {label: (image.copy(), own) for label, image, own in benchmark.reconstructions(scan, acquisition, 3)}
    assert list(rows)[-4:] == [
        "regss, aligned, one pass",
        "regss, misaligned, one pass",
        "regss, aligned, 3 shifts",
        "regss, misaligned, 3 shifts",
    ]
    for words, aligned in (("aligned", True), ("misaligned", False)):
        for many, shifts in (("one pass", (0,)), ("3 shifts", (0, 3, 6))):
            image, own = rows[f"regss, {words}, {many}"]
            same = made(scan, acquisition, aligned, shifts)
            np.testing.assert_allclose(image, same, atol=1e-5 * same.max())
            assert (own is None) == (len(shifts) == 1)


def made(
    scan: torch.Tensor, acquisition: SliceAcquisition, aligned: bool, shifts: tuple[int, ...]
) -> np.typing.NDArray[np.float32]:
    return regss(scan, acquisition, no_progress, aligned=aligned, shifts=shifts).data.numpy()
