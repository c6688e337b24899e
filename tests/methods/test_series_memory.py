"""Methods that solve frame by frame make one array of the size of the series: the series itself."""

import dataclasses
import weakref
from functools import cache

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import medsr
from medsr import reconstruction_kspace
from medsr.acquisition.preparation import Prepared
from medsr.acquisition.spiral import SpiralAcquisition
from medsr.consistency.cg import Solution
from medsr.consistency.tikhonov import CHAIN
from medsr.methods.base import no_progress
from medsr.methods.gridding import gridding
from medsr.methods.registry import load_series_method
from medsr.methods.sliding_window import WindowSettings, moving_mean, sliding_window
from tests.simulation.runs import small_run


class Large(TorchDispatchMode):
    """Keeps every tensor of `least` bytes or more that an operation makes, one of each storage."""

    def __init__(self, least: int) -> None:
        super().__init__()
        self.least, self.made = least, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        for x in tree_leaves(out):
            if isinstance(x, torch.Tensor) and x.nbytes >= self.least:
                key = x.untyped_storage()._cdata
                if key not in given:
                    self.made[key] = x
        return out


@cache
def long_run(times: int) -> SpiralAcquisition:
    a = Prepared(small_run().kspace).slice(0)
    return dataclasses.replace(
        a,
        kspace=a.kspace.repeat(times, 1, 1),
        trajectories=a.trajectories.repeat(times, 1, 1),
        weights=a.weights.repeat(times, 1),
    )


@pytest.mark.parametrize("name", ["gridding", "sliding-window", "cg-sense"])
def test_one_array_of_the_series_size(monkeypatch, name):
    def solved(kspace, trajectories, maps, how, **_):  # sparse products cannot be watched
        assert len(kspace) <= CHAIN
        return Solution(torch.zeros(len(kspace), *maps.shape[1:], dtype=maps.dtype), *torch.zeros(2, len(kspace)))

    monkeypatch.setattr("medsr.methods.cg_sense.tikhonov_sense", solved)
    a = long_run(3)
    method = load_series_method(name)
    with Large(8 * a.frames * a.maps[0].numel()) as large:
        x = method(a, no_progress).data
    assert x.shape == (72, *a.shape)
    assert len(large.made) == 1, [tuple(t.shape) for t in large.made.values()]


@pytest.mark.parametrize(("times", "width"), [(1, 0.3), (1, 1.05), (1, 3.0), (3, 2.3), (3, 8.0), (3, 100.0)])
def test_the_sliding_window_is_the_moving_mean_of_gridding(times, width):
    a = long_run(times)
    alone = gridding(a, no_progress).data
    expected = moving_mean(alone, max(1, round(width * a.frames_to_fill)))
    assert torch.equal(sliding_window(a, no_progress, WindowSettings(width)).data, expected)


@pytest.mark.parametrize("from_file", [True, False])
def test_the_samples_of_a_file_go_when_its_last_slice_is_prepared_and_those_of_a_caller_stay(
    monkeypatch, from_file
):
    held = []

    def read(*_, **__):
        scan = small_run().kspace
        scan = dataclasses.replace(scan, data=scan.data.copy())
        held.append(weakref.ref(scan.data))
        return scan

    def method(acquisition, progress):
        assert (held[0]() is None) == from_file
        return gridding(acquisition, progress)

    monkeypatch.setattr(reconstruction_kspace, "read_mrd", read)
    monkeypatch.setattr(reconstruction_kspace, "load_series_method", lambda _: method)
    scan = "raw.h5" if from_file else read()
    result = medsr.reconstruct(scan, method="gridding")
    assert result.volume.data.shape == (24, 24, 24, 1)
    if not from_file:
        assert np.array_equal(scan.data, small_run().kspace.data)
