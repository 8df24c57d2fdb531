"""Exact search: against brute force, near twins, ties, the memory cap as measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.neighbours import _Search, nearest


def brute(queries, points, k, exclude_self=False):
    distances = (queries.double()[:, None] - points.double()).norm(dim=2)
    if exclude_self:
        distances.fill_diagonal_(torch.inf)
    order = distances.argsort(dim=1, stable=True)[:, :k]
    return distances.gather(1, order), order


@pytest.mark.parametrize("memory", [20_000, 1 << 28])
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


def peak_bytes(call: Callable[[], object]) -> int:
    """The most that was allocated at any moment of a call, as torch's allocator counts it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        call()
    now = top = 0
    for event in found.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            top = max(top, now)
    return top


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize(("memory", "columns"), [(4 << 20, 32), (12 << 20, 256)])
def test_the_memory_cap_holds_and_the_result_stays_exact(memory, columns, kind):
    random = torch.Generator().manual_seed(3)
    points = torch.randn(30_000, columns, generator=random).to(kind)
    queries = points[:600] + 0.01 * torch.randn(600, columns, generator=random).to(kind)
    assert points.numel() * points.element_size() + len(queries) * len(points) * 4 > 5 * memory
    found = []
    peak = peak_bytes(lambda: found.append(nearest(queries, points, 5, memory=memory)))
    assert memory // 8 < peak <= memory
    expected = torch.cdist(queries[:50].double(), points.double(), compute_mode="donot_use_mm_for_euclid_dist")
    values, order = expected.topk(5, largest=False)
    assert found[0][1][:50].equal(order)
    assert torch.allclose(found[0][0][:50].double(), values, rtol=1e-6)


@pytest.mark.parametrize("kind", ["spread", "crowded", "far off", "copies"])
@pytest.mark.parametrize("native", [False, True])
def test_coarse_products_change_no_result(kind, native, monkeypatch):
    """In bfloat16 as in float32: what the error leaves in doubt is decided by subtraction."""
    monkeypatch.setattr("pdfed_sdk.ml.neighbours._native_bfloat16", lambda _points: native)
    random = torch.Generator().manual_seed(4)
    points = torch.randn(3_000, 96, generator=random) * torch.arange(1, 97) ** -0.5
    queries = torch.randn(200, 96, generator=random) * torch.arange(1, 97) ** -0.5
    if kind == "crowded":  # all in a ball far smaller than its distance from the centre of all
        points, queries = (0.01 * x + (torch.arange(len(x))[:, None] % 2) * 3.0 for x in (points, queries))
    elif kind == "far off":
        points, queries = points + 50, queries + 50
    elif kind == "copies":
        points[1_000:2_000] = points[:1_000]
        queries[:100] = points[:100] + 1e-4
    distances, index = nearest(queries, points, 5)
    expected, order = brute(queries, points, 5)
    assert torch.allclose(distances.double(), expected, rtol=2e-6, atol=1e-7)
    assert index.equal(order) or kind in ("far off", "copies")
    chosen = (queries.double()[:, None] - points[index].double()).norm(dim=2)
    assert torch.allclose(chosen, expected, rtol=2e-6, atol=1e-7)


def test_a_cap_below_one_row_is_refused_with_what_it_takes():
    points = torch.randn(200, 16)
    with pytest.raises(DataError, match=r"memory is 4000 bytes, 200 points of 16 columns need (\d+)") as caught:
        nearest(points, points, 5, memory=4_000)
    least = int(str(caught.value).split("need ")[1])
    nearest(points, points, 5, memory=least)


def test_bfloat16_never_errs_by_more_than_its_bound_even_where_every_number_is_rounded_most():
    signs = torch.randint(0, 2, (60, 256), generator=torch.Generator().manual_seed(0)).float() * 2 - 1
    rows = torch.cat([signs, -signs]) * (1 + 2**-8)  # half way between two bfloat16, centre 0
    search = _Search.over(rows, 1, 120, 8_192, 1 << 20, torch.bfloat16)
    sizes = rows.norm(dim=1)
    ranks = search._of_part(rows.bfloat16(), 0, 120, None, torch.empty(120, 120))
    true = torch.empty(120, 120).scatter_(1, ranks[1], ranks[0]).double()  # by column
    error = true - (rows.double().square().sum(1) - 2 * rows.double() @ rows.double().T)
    worst = torch.full((120,), float(ranks[0].min()))
    bound = search._error(rows, sizes, worst, torch.bfloat16)
    assert error.max() > 3.9  # 3.02 / 256 of the lengths, 3.06, would be too little
    assert (error.amax(1) <= bound).all()
