"""Cartesian lines: told from spirals, counted and weighted."""

import numpy as np
import pytest

from medsr.acquisition.lines import is_line, line_density, lines_to_fill
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
