"""`kt` on a run longer than a stretch."""

from __future__ import annotations

import torch

from medsr.acquisition.preparation import Prepared
from medsr.methods.base import no_progress
from medsr.methods.kt import KtSettings, kt
from tests.simulation.runs import small_run


def test_stretches_of_a_run_are_those_of_the_whole(monkeypatch) -> None:
    """The result is nearly that of one solve; a voxel's course has no step where they join."""
    a = Prepared(small_run(frames=48).kspace).slice(0)
    settings = KtSettings(iterations=12)
    whole = kt(a, no_progress, settings).data
    monkeypatch.setattr("medsr.methods.stretches.LONGEST", 32)
    monkeypatch.setattr("medsr.methods.stretches.OVERLAP", 12)
    parts = kt(a, no_progress, settings).data
    spread = (whole - whole.mean(0)).norm()
    assert 0 < float((parts - whole).norm()) < 0.5 * float(spread)
    steps = (parts - whole).diff(dim=0).flatten(1).norm(dim=1)
    assert float(steps.max()) < 4 * float(steps.median()) + 0.1 * float(spread)
    assert torch.isfinite(torch.view_as_real(parts)).all()
