"""A network through a volume."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medsr.errors import Cancelled, UsageError
from medsr.networks import NETWORKS
from medsr.networks.slices import superresolve_slices, superresolve_through_plane, windows


@pytest.mark.parametrize("plane", [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)])
def test_axes_go_where_they_belong(plane):
    """An untrained network interpolates: a ramp along each axis tells the axes apart."""
    network = NETWORKS["fast2d"].build((3, 1), inference=True)
    x, y, z = np.meshgrid(*(np.arange(n) for n in (9, 8, 10)), indexing="ij")
    out = superresolve_slices(network, (x + 10 * y + 100 * z).astype(np.float32), plane, batch=3)
    shape = [9, 8, 10]
    shape[plane[0]] *= 3
    assert out.shape == tuple(shape) and out.dtype == np.float32 and out.flags.c_contiguous
    fine = [np.arange(n, dtype=np.float64) for n in shape]
    fine[plane[0]] = (fine[plane[0]] + 0.5) / 3 - 0.5
    expected = fine[0][:, None, None] + 10 * fine[1][:, None] + 100 * fine[2]
    inner = tuple(slice(2 * 3, -2 * 3) if a == plane[0] else slice(None) for a in range(3))
    np.testing.assert_allclose(out[inner], expected[inner], rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", ["mdcn", "scrsr", "fast2d"])
def test_batches_tiles_and_threads_change_nothing(name, build):
    network = build(name, (2, 2)).for_inference().eval()
    volume = torch.rand(13, 44, 4).numpy()
    whole = superresolve_slices(network, volume, (0, 1))
    assert whole.shape == (26, 88, 4)
    for options in ({"batch": 1, "workers": 2}, {"batch": 3, "tile": 16}):
        assert np.array_equal(superresolve_slices(network, volume, (0, 1), **options), whole)
    torch.set_num_threads(2)
    assert np.array_equal(superresolve_slices(network, volume, (0, 1)), whole)
    assert torch.get_num_threads() == 2


def test_a_run_can_be_stopped():
    network = NETWORKS["fast2d"].build((2, 1), inference=True)
    seen = []

    def stop(fraction, stage):
        seen.append(fraction)
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        superresolve_slices(network, np.zeros((9, 9, 40), np.float32), (0, 1), batch=1, progress=stop)
    assert len(seen) == 1


def test_neighbours_are_the_adjacent_slices(build):
    network = build("mdcn", (2, 2)).eval()
    volume = torch.rand(6, 7, 4).numpy()
    out = superresolve_slices(network, volume, (0, 1))
    for k, triple in enumerate([(0, 0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 3)]):
        low = torch.from_numpy(volume[:, :, triple].transpose(2, 0, 1).copy())[None]
        torch.testing.assert_close(torch.from_numpy(out[:, :, k]), network(low)[0, 0].detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_through_plane_is_the_mean_of_two_reformats(axis, build):
    network = build("drudn", (4, 1)).eval()
    volume = torch.rand(5, 6, 7).numpy()
    u, v = (a for a in range(3) if a != axis)
    parts = [superresolve_slices(network, volume, (axis, other)) for other in (u, v)]
    out = superresolve_through_plane(network, volume, axis)
    np.testing.assert_allclose(out, (parts[0] + parts[1]) / 2, rtol=0, atol=1e-6)
    assert out.shape[axis] == 4 * volume.shape[axis]
    # the network looks at planes, not at an order of axes
    turned = superresolve_through_plane(network, volume.swapaxes(u, v), axis).swapaxes(u, v)
    np.testing.assert_allclose(out, turned, rtol=0, atol=1e-6)


def test_progress_goes_from_nothing_to_all():
    network = NETWORKS["fast2d"].build((2, 1), inference=True)
    seen = []
    superresolve_through_plane(
        network, np.zeros((4, 5, 6), np.float32), 2, batch=2, progress=lambda f, s: seen.append((f, s))
    )
    fractions = [f for f, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and len(set(fractions)) == len(fractions)


@pytest.mark.parametrize(
    ("length", "tile", "halo", "period"), [(10, 3, 2, 1), (11, 3, 3, 2), (7, 7, 2, 1), (9, None, 5, 2)]
)
def test_windows_cover_everything_once(length, tile, halo, period):
    found = windows(length, tile, halo, period)
    kept = [i for w in found for i in range(w.first, w.last)]
    assert kept == list(range(length))
    for w in found:
        assert w.start % period == 0 and 0 <= w.start <= max(0, w.first - halo)
        assert w.stop == min(length, w.last + halo)


def test_wrong_use_is_named():
    network = NETWORKS["fast2d"].build((2, 2), inference=True)
    volume = np.zeros((4, 4, 4), np.float32)
    for plane in [(0, 0), (0, 3), (-1, 1)]:
        with pytest.raises(UsageError, match="plane"):
            superresolve_slices(network, volume, plane)
    with pytest.raises(UsageError, match="plane"):
        superresolve_slices(network, volume[0], (0, 1))
    with pytest.raises(UsageError, match="batch"):
        superresolve_slices(network, volume, (0, 1), batch=0)
    with pytest.raises(UsageError, match="tile"):
        superresolve_slices(network, volume, (0, 1), tile=0)
    with pytest.raises(UsageError, match="training"):
        superresolve_slices(network.train(), volume, (0, 1))
    with pytest.raises(UsageError, match="through-plane"):
        superresolve_through_plane(network, volume, 2)
    through = NETWORKS["fast2d"].build((2, 1), inference=True)
    with pytest.raises(UsageError, match="axis"):
        superresolve_through_plane(through, volume, 3)
