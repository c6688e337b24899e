"""The delay of the gradients, estimated from simulated raw data that were played out late."""

from dataclasses import replace

import pytest

from medsr.consistency.delay import estimated_delay
from medsr.errors import InputError
from medsr.simulation.protocol import Protocol
from medsr.simulation.spiral_fmri import simulate_spiral_fmri
from tests.simulation.heads import head

SMALL = Protocol(matrix=32, coils=4, frames=12, interleaves=8, off_resonance=10.0)


@pytest.mark.parametrize("delay", [(3e-6, 5e-6), (-2e-6, 1e-6), (0.0, 0.0)])
def test_each_axis_is_found(delay):
    run = simulate_spiral_fmri(head(4.0, shape=(56, 64, 48)), replace(SMALL, delay=delay))
    assert estimated_delay(run.kspace) == pytest.approx(delay, abs=4e-7)


def test_a_run_without_calibration_tells_it_roughly():
    protocol = replace(SMALL, delay=(4e-6, 4e-6), calibration=False, frames=24)
    run = simulate_spiral_fmri(head(4.0, shape=(56, 64, 48)), protocol)
    assert estimated_delay(run.kspace) == pytest.approx((4e-6, 4e-6), abs=2e-6)


def test_too_few_readouts_are_refused():
    run = simulate_spiral_fmri(head(4.0, shape=(56, 64, 48)), replace(SMALL, calibration=False, frames=4))
    with pytest.raises(InputError, match="too few readouts"):
        estimated_delay(run.kspace)
