"""The consensus: what the network may decide, views that agree on where things are, uncertainty, weights."""

import dataclasses

import numpy as np
import pytest
import torch

from medsr.acquisition.cells import ISOTROPIC, THROUGH, plan_cells
from medsr.acquisition.slices import plan_acquisition
from medsr.consistency.wiener import weighted
from medsr.errors import WeightsError
from medsr.methods import consensus as module
from medsr.methods.base import no_progress
from medsr.methods.consensus import Parts, View, Views, consensus, look, onto_fine, propose, work_on
from medsr.methods.spline import spline
from medsr.models.card import card
from medsr.models.tensors import read_tensors, shipped_weights
from medsr.networks.residual3d import ResidualNet3D
from medsr.operators.modeproduct import mode_product
from medsr.volume import Grid, Volume
from tests.conftest import smooth_head

THICK, COARSE = (1.0, 1.0, 4.0), (2.0, 2.0, 2.0)
SPACINGS = pytest.mark.parametrize("spacing", [THICK, COARSE], ids=["thick", "coarse"])


def scan(spacing, noise=0.0, fine=(1.0, 1.0, 1.0)):
    shape = (24, 26, 10) if spacing == THICK else (20, 22, 18)
    volume = Volume(smooth_head(shape), Grid(shape, np.diag([*spacing, 1.0])))
    return torch.from_numpy(volume.data), plan_acquisition(volume, spacing=fine, noise=noise)


@pytest.mark.parametrize("layout", [THROUGH, ISOTROPIC], ids=lambda x: x.name)
def test_views_are_unlike_and_the_plain_one_is_first(layout):
    views = Views(12, shifts=True).of(layout)
    assert views[0] == View()
    assert len(set(views)) == len(views) == 12
    if layout is THROUGH:  # the refined axis stays last
        assert all(v.order[2] == 2 for v in views)
    assert all(v.offset == 0 for v in Views(12).of(layout))
    assert all(v.order == (0, 1, 2) for v in Views(8, permutations=False).of(layout))


@SPACINGS
def test_only_what_the_scan_leaves_open_is_the_networks(spacing):
    y, acquisition = scan(spacing)
    base = spline(y, acquisition, no_progress).data
    x = consensus(y, acquisition, no_progress).data
    change = acquisition.operator(x - base)
    assert (x - base).norm() > 1e-3 * base.norm()
    assert change.norm() < 1e-4 * y.norm()


@SPACINGS
def test_with_noise_the_scan_is_explained_to_within_it(spacing):
    y, acquisition = scan(spacing, noise=2.0)
    noisy = y + 2.0 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    x = consensus(noisy, acquisition, no_progress).data
    assert (acquisition.operator(x) - noisy).norm() <= 1.02 * 2.0 * y.numel() ** 0.5


@SPACINGS
def test_with_noise_the_scan_decides_where_it_rises_above_it(spacing):
    y, acquisition = scan(spacing, noise=2.0)
    noisy = y + 2.0 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    base, free, confined = (
        acquisition.operator(e.data)
        for e in (
            spline(noisy, acquisition, no_progress),
            propose(noisy, acquisition, no_progress, Parts(confined=False)),
            propose(noisy, acquisition, no_progress, Parts()),
        )
    )
    low = np.zeros(y.shape)
    low[: y.shape[0] // 4, : y.shape[1] // 4, : y.shape[2] // 4] = 1
    off, kept = weighted(free - base, low).norm(), weighted(confined - base, low).norm()
    assert kept < 0.3 * off
    assert (confined - base).norm() > 2 * kept


@SPACINGS
def test_the_correction_is_capped(spacing, monkeypatch):
    y, acquisition = scan(spacing)
    tight = dataclasses.replace(card("consensus"), cap=1e-3)
    monkeypatch.setattr(module, "card", lambda name: tight)
    base = spline(y, acquisition, no_progress).data
    x = propose(y, acquisition, no_progress, Parts(projection=False, confined=False)).data
    assert (x - base).abs().max() <= 1.001e-3 * np.percentile(y.numpy(), 99.5)


@SPACINGS
def test_every_view_finds_things_in_their_place(spacing):
    """A network that answers with its own first input gives that image back, whatever the view."""

    class Echo(ResidualNet3D):
        def forward(self, images, condition, cell):
            return images[:, 0], images[:, 0].abs()

    y, acquisition = scan(spacing)
    cells = plan_cells(acquisition.measured.spacing, acquisition.fine.spacing, acquisition.psf)
    network = Echo(cells.layout.orders, width=8, blocks=1)
    plain = None
    for view in Views(12, shifts=True).of(cells.layout):
        working = work_on(y, acquisition, cells, view.offset)
        echoed, _ = look(network, working, acquisition, view, no_progress)
        torch.testing.assert_close(echoed, working.images[0])
        placed = mode_product(echoed, onto_fine(working, acquisition))
        plain = placed if plain is None else plain
        # shifted views differ by an interpolation, of an image that is smooth but for its edges
        inner = (slice(4, -4),) * 3
        off = (placed - plain)[inner].norm() / plain[inner].norm()
        assert off < (0.03 if view.offset else 1e-6)


@pytest.mark.parametrize("fine", [(0.8, 0.8, 0.8), (1.5, 1.5, 1.5), (1.7, 0.9, 2.0)])
def test_any_ratio(fine):
    y, acquisition = scan(COARSE, fine=fine)
    estimate = consensus(y, acquisition, no_progress)
    assert estimate.data.shape == estimate.uncertainty.shape == acquisition.fine.shape
    assert (estimate.uncertainty >= 0).all()
    assert (acquisition.operator(estimate.data) - y).norm() < 1e-3 * y.norm()


def test_one_view_is_fast():
    y, acquisition = scan(THICK)
    one = propose(y, acquisition, no_progress, Parts(Views(1)))
    assert torch.equal(consensus(y, acquisition, no_progress, fast=True).data, one.data)
    assert not torch.equal(consensus(y, acquisition, no_progress).data, one.data)


@pytest.mark.parametrize("layout", ["through-plane", "isotropic"])
def test_shipped_weights_are_those_on_the_card(layout):
    weights = card("consensus").weights[layout]
    path = shipped_weights(weights.file)
    assert path.stat().st_size < 8e6
    _, about = read_tensors(path, weights.sha256)
    assert about["layout"] == layout
    with pytest.raises(WeightsError, match="not the weights on the card"):
        read_tensors(path, "0" * 64)


def test_bad_weights_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(WeightsError, match="missing"):
        read_tensors(path)
    path.write_bytes(b"\x08\0\0\0\0\0\0\0{}      and no tensors")
    with pytest.raises(WeightsError, match="not a file of weights"):
        read_tensors(path)
    from safetensors.torch import save_file

    save_file({"a": torch.tensor([float("nan")])}, path)
    with pytest.raises(WeightsError, match="not finite"):
        read_tensors(path)
