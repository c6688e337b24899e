"""All frames at once give what they give one by one."""

import pytest
import torch

from medsr.consistency.batched import BatchedSeriesGram
from medsr.consistency.relative import SeriesOperator
from medsr.operators.sense import sense_frames


def case(dtype):
    torch.manual_seed(0)
    k = (torch.rand(5, 200, 2, dtype=torch.float64) - 0.5) * 19
    k[3] = k[1]  # frames with equal trajectories are prepared once
    return k, torch.randn(6, 24, 20, dtype=dtype), torch.randn(5, 24, 20, dtype=dtype)


@pytest.mark.parametrize(
    ("dtype", "eps", "least"), [(torch.complex64, 1e-5, 3e-5), (torch.complex128, 1e-11, 1e-10)]
)
def test_it_is_the_gram_of_each_frame(dtype, eps, least):
    k, maps, x = case(dtype)
    operator = sense_frames(k, maps, eps=eps)
    expected = operator.adjoint(operator.forward(x))
    gram = BatchedSeriesGram(k, maps, eps=eps)
    assert len(gram) == 5
    assert float((gram.gram(x) - expected).norm() / expected.norm()) < least
    some = slice(2, 5)
    assert torch.allclose(gram.of(some, x[some]), gram.gram(x)[some])


def test_it_is_its_own_adjoint():
    k, maps, _ = case(torch.complex128)
    assert SeriesOperator(BatchedSeriesGram(k, maps, eps=1e-11)).check_adjoint(torch.complex128) < 1e-10


@pytest.mark.gpu
def test_on_the_gpu():
    k, maps, x = case(torch.complex64)
    there = BatchedSeriesGram(k.cuda(), maps.cuda(), eps=1e-5).gram(x.cuda()).cpu()
    here = BatchedSeriesGram(k, maps, eps=1e-5).gram(x)
    assert float((there - here).norm() / here.norm()) < 1e-4
