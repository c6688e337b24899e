"""Regularly spaced shifting: its shifts, both its alignments, and what shifting brings with each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from torch import Tensor

from medsr.acquisition.slices import SliceAcquisition, plan_acquisition
from medsr.errors import UsageError
from medsr.methods import regss as module
from medsr.methods.base import no_progress
from medsr.methods.regss import SHIFTS, passes, regss
from medsr.networks.srcnn3d import SRCNN3D
from medsr.volume import Grid, Volume
from tests.conftest import smooth_head


class Copy(SRCNN3D):
    """A network that has learned nothing: the middle of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return x[..., 6:-6, 6:-6, 6:-6]


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_network", lambda: (Copy(), {}))


def plan(shape: tuple[int, int, int], spacing: tuple[float, ...], aim: tuple[float, ...]) -> SliceAcquisition:
    volume = Volume(smooth_head(shape), Grid(shape, np.diag([*spacing, 1.0])))
    return plan_acquisition(volume, spacing=aim, noise=0.0)


def network() -> SRCNN3D:
    torch.manual_seed(1)
    made = SRCNN3D()
    made.start_at_input()
    return made.eval().requires_grad_(False)


def test_the_papers_shifts() -> None:
    assert len(SHIFTS) == 47
    assert SHIFTS[:3] == (0, 3, 6)
    assert SHIFTS[-1] == 138


def test_misaligned_is_what_the_release_does(copying: None) -> None:
    """`scipy.ndimage.zoom` of the shifted scan, shifted back, and the mean."""
    shape = (9, 10, 8)
    y = smooth_head(shape)
    expected = np.zeros([2 * n for n in shape])
    for k in SHIFTS:
        grown = zoom(np.roll(y.astype("f8"), (k, k, k), (0, 1, 2)), 2, order=3)
        expected += np.roll(grown, (-2 * k,) * 3, (0, 1, 2)) / len(SHIFTS)
    acquisition = plan(shape, (2, 2, 2), (1, 1, 1))
    made = regss(torch.from_numpy(y), acquisition, no_progress, aligned=False).data.numpy()
    np.testing.assert_allclose(made, expected, atol=1e-4 * y.max())


def test_equal_shifts_are_computed_once_and_count_as_often() -> None:
    y = torch.from_numpy(smooth_head((14, 12, 6)))
    found = list(passes(network(), y, (1, 1, 4), no_progress))
    assert [weight for weight, _ in found] == pytest.approx([24 / 47, 23 / 47])
    every = torch.zeros(14, 12, 24)
    for k in SHIFTS:
        ((weight, image),) = passes(network(), y, (1, 1, 4), no_progress, shifts=(k,))
        assert weight == 1
        every += image / len(SHIFTS)
    mean = sum(weight * image for weight, image in found)
    torch.testing.assert_close(mean, every, atol=1e-4 * float(y.max()), rtol=0)


def test_a_box_is_a_part_of_the_whole() -> None:
    """Where the shift wraps it around, too."""
    y = torch.from_numpy(smooth_head((14, 12, 8)))
    box = (range(4, 15), range(0, 7), range(5, 16))
    inside = tuple(slice(r.start, r.stop) for r in box)
    both = (list(passes(network(), y, (1, 1, 2), no_progress, shifts=(0, 3), box=b)) for b in (None, box))
    for (_, whole), (_, part) in zip(*both, strict=True):
        torch.testing.assert_close(part[inside], whole[inside], atol=1e-5 * float(y.max()), rtol=0)
        rest = part.clone()
        rest[inside] = 0
        assert not rest.any()


def test_shifts_along_the_refined_axes_alone() -> None:
    """Two passes of a scan of six slices, whatever the slices' size."""
    y = torch.rand(20, 21, 6)
    assert len(list(passes(network(), y, (1, 1, 2), no_progress))) == 2


def test_with_the_alignment_right_shifting_changes_nothing_but_the_border() -> None:
    y = torch.from_numpy(smooth_head((30, 28, 32)))
    made = {}
    for aligned in (True, False):
        here, there = passes(network(), y, (2, 2, 2), no_progress, aligned=aligned, shifts=(0, 9))
        made[aligned] = (here[1] - there[1]).abs()
    # what the scan's ends are shifted to is a border too: at 0 and 32 - 9 of 32
    inside = (slice(18, 30), slice(16, 28), slice(18, 32))
    assert made[True][inside].max() < 1e-3 * y.max()
    assert made[False][inside].max() > 0.02 * y.max()


def test_aligned_is_where_the_scan_is(copying: None) -> None:
    """A ramp stays a ramp; misaligned, it is off by half a voxel at the ends."""
    acquisition = plan((10, 10, 24), (1, 1, 2), (1, 1, 1))
    z = torch.arange(24, dtype=torch.float32) * 2 + 0.5
    y = z.expand(10, 10, 24).contiguous()
    off = {}
    for aligned in (True, False):
        x = regss(y, acquisition, no_progress, aligned=aligned, shifts=(0,)).data
        off[aligned] = (x - torch.arange(48))[5, 5, 6:-6].abs().max()
    assert off[True] < 0.02
    assert 0.3 < off[False] < 0.5


@pytest.mark.parametrize("aim", [(1, 1, 1.25), (1, 0.8, 1), (1, 1, 1.9)])
def test_whole_ratios_only(aim: tuple[float, ...]) -> None:
    acquisition = plan((10, 10, 12), (1, 1, 2), aim)
    with pytest.raises(UsageError, match=r"whole numbers only; got ratios 1 x .*choose --spacing 1,") as raised:
        regss(torch.rand(10, 10, 12), acquisition, no_progress)
    assert "\n" not in str(raised.value)
    # what the hint says works
    hint = str(raised.value).split("--spacing ")[1].split(",")[:3]
    again = plan((10, 10, 12), (1, 1, 2), tuple(float(h) for h in hint))
    assert max(module.whole_ratios(again)) == 2


def test_nothing_comes_of_nothing(copying: None) -> None:
    acquisition = plan((8, 8, 8), (2, 2, 2), (1, 1, 1))
    assert not regss(torch.zeros(8, 8, 8), acquisition, no_progress, shifts=(0, 3)).data.any()
