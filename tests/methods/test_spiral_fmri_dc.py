"""The unrolled solve on small runs whose answer is known; weights as they start out."""

import math
from dataclasses import replace

import pytest
import torch

from medsr.acquisition.spiral import SpiralAcquisition
from medsr.acquisition.trajectory import golden_angles, rotated, variable_density_spiral
from medsr.methods.base import no_progress
from medsr.methods.spiral_fmri_dc import (
    Layers,
    begin,
    followed,
    in_stretches,
    mean_image,
    rigid,
    unrolled,
)
from medsr.methods.stretches import LONGEST, stretches
from medsr.networks.spiral_prior import SpiralPrior
from medsr.operators.sense import sense_frames

N, FRAMES, COILS, LEAVES = 24, 32, 4, 4


def blob(x0=0.0, y0=0.0, width=5.0):
    x, y = torch.meshgrid(torch.arange(N) - N // 2, torch.arange(N) - N // 2, indexing="ij")
    return torch.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * width**2))


def acquisition(images, noise=1e-3):
    """Samples of a series (frames, x, y) by four smooth coils, one of four golden-angle interleaves a frame."""
    spiral = variable_density_spiral(N, 0.22, LEAVES, dwell=8e-6)
    k = torch.from_numpy(rotated(spiral.k, golden_angles(FRAMES)))
    maps = torch.stack([torch.polar(blob(x, y, 12.0), 0.05 * x * blob(y, x)) for x, y in
                        ((-9.0, 0.0), (9.0, 0.0), (0.0, -9.0), (0.0, 9.0))])  # fmt: skip
    maps = maps / maps.abs().square().sum(0).sqrt()
    y = sense_frames(k, maps).forward(images.to(torch.complex64))
    generator = torch.Generator().manual_seed(1)
    y = y + noise * torch.randn(y.shape, dtype=y.dtype, generator=generator)
    weights = torch.ones(FRAMES, y.shape[-1])
    return SpiralAcquisition(y, k, weights, maps, noise, LEAVES, tr=1.0, spacing=(220 / N, 220 / N))


def responding(amplitude=0.05):
    """A head with a phase, of which a place answers to blocks; its image and the series."""
    still = disc_of(torch.polar(blob(), 0.3 + 0.02 * torch.arange(N).float().expand(N, N)))
    course = torch.tensor([1.0 if (t // 8) % 2 else 0.0 for t in range(FRAMES)])
    course = torch.nn.functional.avg_pool1d(course[None, None], 5, 1, 2, count_include_pad=False)[0, 0]
    place = blob(3.0, -2.0, 2.5)
    return still, still * (1 + amplitude * course[:, None, None] * place), course


def disc_of(x):
    k = torch.fft.fftfreq(N) * N
    keep = torch.hypot(k[:, None], k) <= N / 2 - 1
    return torch.fft.ifft2(torch.fft.fft2(x) * keep)


@pytest.fixture(scope="module")
def solved():
    torch.manual_seed(0)
    _, series, course = responding()
    a = acquisition(series)
    with torch.no_grad():
        start = begin(a, mean_image(a))
        x = unrolled(start, SpiralPrior(width=8), Layers(6, 8))
    return a, series, course, start, x


def test_the_response_keeps_its_amplitude(solved):
    _, series, course, start, x = solved
    centred = course - course.mean()
    place = (N // 2 + 3, N // 2 - 2)

    def response(z):
        return float((z.abs()[:, place[0], place[1]] * centred).sum())

    assert response(x) == pytest.approx(response(series), rel=0.1)
    assert abs(response(start.expected)) < 0.2 * response(series)


def test_it_is_nearer_to_the_truth_than_the_mean(solved):
    _, series, _, start, x = solved
    assert float((x - series).norm()) < 0.6 * float((start.mean - series).norm())


def test_the_samples_are_explained_to_the_noise(solved):
    a, _, _, start, x = solved
    left = float(a.residual(x).norm()) / (a.noise * math.sqrt(a.kspace.numel()))
    before = float(a.residual(start.expected).norm()) / (a.noise * math.sqrt(a.kspace.numel()))
    assert left < 1.1 < before


def test_twice_the_response_is_found_twice_as_large_under_one_prior(solved):
    a = solved[0]
    still, _, _ = responding()
    torch.manual_seed(0)
    network = SpiralPrior(width=8)
    found = []
    for amplitude in (0.02, 0.04):
        b = acquisition(responding(amplitude)[1], noise=1e-6)
        b = replace(b, noise=a.noise)
        with torch.no_grad():
            start = begin(b, still)
            # the first prior alone, which has not seen the run
            found.append(unrolled(start, network, Layers(8, 0)).abs())
    half, full = ((z - z.mean(0))[:, N // 2 + 3, N // 2 - 2] for z in found)
    assert float(half.norm()) == pytest.approx(float(full.norm()) / 2, rel=0.1)


def test_without_a_second_layer_the_changes_are_the_first_ones_weighted_anew(solved):
    start = solved[3]
    torch.manual_seed(0)
    network = SpiralPrior(width=8)
    with torch.no_grad():
        one = unrolled(start, network, Layers(6, 0))
        two = unrolled(start, network, Layers(6, 1))
    assert float((one - start.expected).norm()) > 0 and float((one - two).norm()) > 0


def test_images_of_movement_are_derivatives():
    image = torch.polar(blob(width=3.0), torch.full((N, N), 0.4))
    dx, dy, turn = rigid(image)
    x = (torch.arange(N) - N // 2).float()
    expected = -x[:, None] / 9 * blob(width=3.0)
    assert torch.allclose((dx * torch.exp(torch.tensor(-0.4j))).real, expected, atol=1e-3)
    assert torch.allclose(dy, dx.T, atol=1e-5)
    assert float(turn.abs().max()) < 1e-2  # turning what is round changes nothing


def test_a_head_that_moves_is_followed():
    moves = 0.2 * torch.sin(2 * torch.pi * torch.arange(FRAMES) / FRAMES)
    series = torch.stack([disc_of(blob(float(m), 0.0).to(torch.complex64)) for m in moves])
    a = acquisition(series)
    mean = mean_image(a)
    expected, misfit = followed(a, mean)
    assert float((expected - series).norm()) < 0.25 * float((mean - series).norm())
    assert misfit < 3 * a.noise


def test_a_phase_that_turns_is_followed():
    turns = 0.1 * torch.cos(torch.arange(FRAMES) / 3.0)
    series = blob() * torch.exp(1j * turns)[:, None, None]
    a = acquisition(series)
    mean = mean_image(a)
    expected, _ = followed(a, mean)
    assert float((expected - series).norm()) < 0.2 * float((mean - series).norm())


def test_the_corners_of_kspace_are_left_empty(solved):
    a = solved[0]
    x = a.within_reach(torch.randn(3, N, N, dtype=torch.complex64))
    k = torch.fft.fftfreq(N) * N
    corners = torch.hypot(k[:, None], k) > N / 2 + 0.2
    assert float(torch.fft.fft2(x)[:, corners].abs().max()) < 1e-4
    assert torch.allclose(a.within_reach(x), x, atol=1e-5)


@pytest.mark.parametrize("frames", [2, 60, LONGEST, LONGEST + 1, 2000])
def test_stretches_add_up_to_the_run(frames):
    total = torch.zeros(frames)
    for some, fade in stretches(frames):
        assert some.stop - some.start == len(fade) <= LONGEST
        total[some] += fade
    assert torch.allclose(total, torch.ones(frames))


def test_stretches_of_a_run_join_without_a_step(solved, monkeypatch):
    a, series, _, _, x = solved
    monkeypatch.setattr("medsr.methods.stretches.LONGEST", 20)
    monkeypatch.setattr("medsr.methods.stretches.OVERLAP", 8)
    torch.manual_seed(0)
    with torch.no_grad():
        parts = in_stretches(a, SpiralPrior(width=8), Layers(6, 8), no_progress)
    assert float((parts - series).norm()) < 2 * float((x - series).norm())
