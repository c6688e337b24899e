"""A real Cartesian brain, 8 coils, Poisson-disc sampled, through the same operators."""

import os
from pathlib import Path

import pytest

from pipelines.benchmarks import brain

pytestmark = pytest.mark.data


def test_a_real_brain_is_explained():
    """Coil maps from the scan's own centre, SENSE on its samples as a non-uniform transform, the residual."""
    path = Path(os.environ.get("MEDSR_DATA", "")) / brain.FILE
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    scan = brain.Brain.read(path)
    assert len(scan.maps) == 8
    assert scan.outside() < 0.1
    _, left = scan.sense(brain.SHOWN)
    assert float(left.norm() / scan.y.norm()) < 0.05
