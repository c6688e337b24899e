"""Cartesian lines: told from spirals, counted and weighted."""

import numpy as np
import pytest
import torch

import medsr
from medsr.acquisition.lines import is_line, line_density, lines_to_fill
from medsr.measurement import KSpace
from medsr.operators.nudft import NUDFT
from tests.io.mrd_files import spiral


def lines(count, spacing=1.0, samples=32, step=0.5):
    x, y = (np.arange(samples) - samples // 2) * step, (np.arange(count) - count // 2) * spacing
    return np.stack(np.broadcast_arrays(x, y[:, None]), axis=-1)


def test_lines_are_told_from_other_readouts():
    assert is_line(lines(1)[0]) and is_line(-lines(1)[0])
    assert not is_line(spiral()[0])
    assert not is_line(lines(1)[0] @ np.array([[0.8, 0.6], [-0.6, 0.8]]))  # a spoke
    assert not is_line(lines(1)[0] * [0.0, 1.0])


@pytest.mark.parametrize(
    ("spacing", "fill"), [(1.0, 16), (2.0, 16), (0.5, 32), (0.8, 20)], ids=["full", "half", "oversampled", "a bit"]
)
def test_as_many_fill_k_space_as_the_matrix_has_rows_or_more_where_they_lie_closer(spacing, fill):
    assert lines_to_fill(lines(16, spacing), 16) == fill


def test_the_weights_of_a_full_set_cover_the_matrix():
    k = lines(32, 0.5, samples=48, step=0.25)
    assert line_density(k, 16, 32).sum() == pytest.approx(16 * 48 * 0.25)


@pytest.mark.parametrize("step", [1.0, 0.5], ids=["as dense as the matrix", "readouts twice as dense"])
def test_a_fully_sampled_cartesian_scan_is_its_image(step):
    """Gridding gives the image itself: nothing is missing, and the weights have the right scale."""
    n = 16
    x, y = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    image = np.exp(-((x - 7.0) ** 2 + (y - 9.0) ** 2) / 8) + 0.2
    k = lines(n, 1.0, samples=round(n / step), step=step).reshape(1, -1, 2)
    samples = NUDFT(torch.from_numpy(k[0]), (n, n))(torch.from_numpy(image).to(torch.complex128)).numpy()
    scan = KSpace(
        samples.astype(np.complex64)[None, None, None],
        k.astype(np.float32),
        np.tile(np.arange(round(n / step)) * 1e-5, n),
        medsr.Grid((n, n, 1), np.diag([3.0, 3.0, 4.0, 1.0])),
        n,
    )
    result = medsr.reconstruct(scan, method="gridding")
    assert any("acceleration 1" in note for note in result.acquisition["assumptions"])
    np.testing.assert_allclose(result.volume.data[..., 0], image, atol=2e-3)
