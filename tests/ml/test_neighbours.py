"""Exact search: against brute force, near twins, ties, memory blocks."""

from __future__ import annotations

import pytest
import torch

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.neighbours import nearest


def brute(queries, points, k, exclude_self=False):
    distances = (queries.double()[:, None] - points.double()).norm(dim=2)
    if exclude_self:
        distances.fill_diagonal_(torch.inf)
    order = distances.argsort(dim=1, stable=True)[:, :k]
    return distances.gather(1, order), order


@pytest.mark.parametrize("memory", [1 << 12, 1 << 28])
@pytest.mark.parametrize("exclude", [False, True])
def test_against_brute_force(memory, exclude):
    points = torch.randn(300, 8, generator=torch.Generator().manual_seed(1))
    queries = points if exclude else torch.randn(40, 8, generator=torch.Generator().manual_seed(2))
    distances, index = nearest(queries, points, 5, exclude_self=exclude, memory=memory)
    expected, order = brute(queries, points, 5, exclude)
    assert index.equal(order)
    assert torch.allclose(distances.double(), expected, rtol=1e-6)


def test_near_twins_far_from_the_origin_keep_their_order():
    base = torch.full((1, 64), 100.0)
    points = base + torch.tensor([[3e-3], [1e-3], [2e-3]]) * torch.ones(1, 64)
    distances, index = nearest(base, points, 3)
    assert index.tolist() == [[1, 2, 0]]
    assert distances[0, 0] == pytest.approx(8e-3, rel=0.02)


def test_ties_go_to_the_lower_index_and_a_copy_has_distance_zero():
    points = torch.ones(5, 3)
    distances, index = nearest(points[:1], points, 2)
    assert index.tolist() == [[0, 1]]
    assert distances.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("k", [0, 4])
def test_k_out_of_range(k):
    with pytest.raises(DataError, match=f"k is {k}, limits 1 and 3"):
        nearest(torch.ones(3, 2), torch.ones(3, 2), k)
