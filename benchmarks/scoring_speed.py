"""How fast are the measures? All of them on the same features, ours against the peers run one after another.

Peers: scipy's matrix root (what clean-fid, pytorch-fid and torch-fidelity run for the Fréchet distance; none of them
imports without torchvision), the package prdc, scikit-learn's brute-force neighbours, and faiss' flat index. FLD has no
installable peer: its time is printed, without a ratio. Ours and the peer take turns; medians of CPU time, one thread on
both sides. Then the cost of one scored picture: fingerprint, search, verification.

    python -m benchmarks.scoring_speed [--json] [--samples 2000] [--dim 2048] [--repeats 5]
    python -m benchmarks.scoring_speed --evaluation cpu|cuda [--json]
    python -m benchmarks.scoring_speed --large 1000000 [--queries 1000] [--memory-mb 256]
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg import sqrtm
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch.nn import functional as F

from benchmarks.machine import processor
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.data import NodeSplit, PictureSet, partition, split_nodes
from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model
from pdfed_sdk.ml.diffusion.sampling import sample
from pdfed_sdk.ml.neighbours import nearest
from pdfed_sdk.ml.quality.baselines import auth_pct, carlini_ratio, ct_score, fid, fld, fld_gap, measure_all, pog, prdc
from pdfed_sdk.ml.scoring.scorer import Scorer, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures

Features = np.ndarray


def peer_fid(x: Features, y: Features) -> float:
    """Mean and covariance, scipy's root of the product."""
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = sqrtm(first @ second).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * np.trace(root))


def search(points: Features, queries: Features, k: int) -> tuple[Features, Features]:
    """scikit-learn's exact search."""
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points).kneighbors(queries)


def peer_auth(g: Features, t: Features) -> float:
    """AuthPct over scikit-learn."""
    distance, index = search(t, g, 1)
    between = search(t, t, 2)[0][:, 1]
    return 100 * float((between[index[:, 0]] < distance[:, 0]).mean())


def peer_pog(g: Features, t: Features, e: Features) -> float:
    """POG over scikit-learn."""
    return 100 * float((search(t, g, 1)[0] < search(e, g, 1)[0]).mean())


def peer_carlini(g: Features, t: Features) -> Features:
    """Carlini's ratio over scikit-learn."""
    distance = search(t, g, 50)[0]
    return distance[:, 0] / distance.mean(1)


def peer_ct(g: Features, t: Features, e: Features) -> float:
    """C_T over scikit-learn and scipy."""
    from scipy.stats import mannwhitneyu

    projection = PCA(n_components=64, random_state=0).fit(t)
    g, t, e = (projection.transform(x) for x in (g, t, e))
    cells = KMeans(n_clusters=3, n_init=10, random_state=0).fit(t)
    total = 0.0
    for cell in range(3):
        inner = t[cells.labels_ == cell]
        a, b = (search(inner, x[cells.predict(x) == cell], 1)[0][:, 0] for x in (g, e))
        u = mannwhitneyu(a, b, method="asymptotic").statistic
        n, m = len(a), len(b)
        total += m / len(e) * (u - (n * m / 2 - 0.5)) / (n * m * (n + m + 1) / 12) ** 0.5
    return total


def peer_prdc(g: Features, e: Features) -> dict[str, float]:
    """The package, its prints kept off stdout."""
    import contextlib

    from prdc import compute_prdc

    with contextlib.redirect_stdout(sys.stderr):
        return compute_prdc(e, g, 5)


def in_turns(
    calls: list[Callable[[], object]], repeats: int, clock: Callable[[], float] = time.process_time
) -> tuple[list[float], list[object]]:
    """Median CPU seconds of each call (other jobs may run beside), and its last value; the calls take turns."""
    times: list[list[float]] = [[] for _ in calls]
    values: list[object] = [None] * len(calls)
    for _ in range(repeats):
        for index, call in enumerate(calls):
            started = clock()
            values[index] = call()
            times[index].append(clock() - started)
    return [float(np.median(each)) for each in times], values


def first_number(value: object) -> float:
    """A number to compare ours with the peer's."""
    if isinstance(value, dict):
        return float(value["density"])
    if hasattr(value, "density"):
        return float(value.density)
    if isinstance(value, tuple):
        return float(value[0].mean())
    return float(np.mean(np.asarray(value)))


def features(samples: int, dim: int, seed: int) -> tuple[Features, Features, Features]:
    """Three sets (samples, dim) with a falling spectrum, as networks give."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(dim, dim)) * (np.arange(1, dim + 1) ** -0.5)[:, None] / dim**0.25
    g, t, e = (np.asarray(rng.normal(size=(samples, dim)) @ mix, dtype=np.float32) for _ in range(3))
    return g, t, e


def parts(samples: int, dim: int, seed: int) -> dict[str, tuple[Callable[[], object], Callable[[], object] | None]]:
    """Name -> (ours, peer)."""
    g, t, e = features(samples, dim, seed)
    found: dict[str, tuple[Callable[[], object], Callable[[], object] | None]] = {
        "fid": (lambda: fid(g, e), lambda: peer_fid(g, e)),
        "prdc": (lambda: prdc(g, e), lambda: peer_prdc(g, e)),
        "auth_pct": (lambda: auth_pct(g, t), lambda: peer_auth(g, t)),
        "pog": (lambda: pog(g, t, e), lambda: peer_pog(g, t, e)),
        "carlini_ratio": (lambda: carlini_ratio(g, t), lambda: peer_carlini(g, t)),
        "ct": (lambda: ct_score(g, t, e), lambda: peer_ct(g, t, e)),
        "neighbours": (lambda: nearest(torch.from_numpy(g), torch.from_numpy(t), 5), lambda: search(t, g, 5)),
        "fld": (lambda: fld(g, t, e), None),
        "fld_gap": (lambda: fld_gap(g, t, e), None),
    }

    def by_faiss() -> object:
        import faiss

        faiss.omp_set_num_threads(torch.get_num_threads())
        index = faiss.IndexFlatL2(dim)
        index.add(t)
        distances, found = index.search(g, 5)
        return np.sqrt(distances), found

    found["neighbours_faiss"] = (found["neighbours"][0], by_faiss)
    return found


def picture_cost(repeats: int, device: str = "cpu") -> dict[str, float]:
    """Milliseconds a picture: fingerprint, search and verification against 1,000 training pictures. CPU time on a CPU;
    wall time, transfers included, on a GPU."""
    private = partition(load_pictures("mnist", size=16))[1]
    split = split_nodes(private, 2, per_node=1_700)[0]
    scorer = Scorer(split, ScoringSettings(samples=256, extractor="pixels", resamples=0), device=device)
    images = private.images[-256:]
    queries = scorer.index.queries(images)
    calls = [lambda: scorer.index.queries(images), lambda: scorer.index.search(queries)]
    in_turns(calls, 1)  # what is done once a process
    clock = time.process_time if device == "cpu" else time.perf_counter
    first, second = in_turns(calls, repeats, clock)[0]
    return {"fingerprint": 1000 * first / 256, "search_verify": 1000 * second / 256}


def large_search(points: int, queries: int, memory: int, dim: int = 256) -> dict[str, float]:
    """Five neighbours of ``queries`` among ``points`` features under a memory cap: seconds, the most memory the process
    took on beside its input, and how many of a sample of rows a float64 search by subtraction confirms."""
    random = torch.Generator().manual_seed(0)
    base = torch.randn(points, dim, generator=random)
    asked = base[torch.randint(0, points, (queries,), generator=random)] + torch.randn(queries, dim, generator=random)
    nearest(asked[:2], base[:5_000], 5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, worked = time.perf_counter(), time.process_time()
    distances, index = nearest(asked, base, 5, memory=memory)
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    rows = torch.arange(0, queries, max(1, queries // 20))[:20]
    exact = torch.cat([(base - asked[row]).double().square().sum(1)[None] for row in rows]).sqrt()
    values, order = exact.topk(5, largest=False)
    same = float((order == index[rows]).all(1).double().mean())
    error = float(((values - distances[rows].double()).abs() / values).max())
    return {
        **{"points": points, "queries": queries, "dim": dim, "seconds": seconds, "cpu_seconds": cpu},
        **{"memory_cap_mb": memory / 2**20, "memory_grown_mb": grown},
        **{"rows_confirmed": same, "largest_relative_error": error},
    }


def on_gpu(repeats: int) -> dict[str, object] | None:
    """The cost of a picture where a GPU can be used, and its name."""
    if not torch.cuda.is_available():
        return None
    cost = picture_cost(repeats, "cuda")
    whole = {f"{size}px": evaluation("cuda", size) for size in (16, 32)}
    name = torch.cuda.get_device_name()
    return {"device": name, "ms_per_image": sum(cost.values()), "ms_parts": cost, "evaluation": whole}


NETS = {
    16: ModelConfig(),
    32: ModelConfig(size=32, channels=3, widths=(64, 128, 256), layers=2),
}


LARGE = ModelConfig(size=32, channels=3, widths=(128, 256, 256, 256), layers=2)


def sampled(config: ModelConfig, device: str, count: int = 1_000) -> float:
    """Pictures a second of the third of three draws, 10 steps."""
    model = new_model(config)
    model.network.to(device)
    for turn in range(3):
        started = time.perf_counter()
        sample(model, count, bytes([1 + turn]), steps=10)
        seconds = time.perf_counter() - started
    return count / seconds


def measured_on(device: str, dim: int = 1_280) -> dict[str, float]:
    """Seconds of C_T and FLD on features that lie on the device; the second of two calls."""
    g, t, e = (torch.from_numpy(part).to(device) for part in features(5_000, dim, 0))
    found = {}
    for name, measure in (("ct", ct_score), ("fld", fld)):
        for _ in range(2):
            started = time.perf_counter()
            measure(g[:1_000], t, e[:2_000])
            found[f"{name}_seconds"] = time.perf_counter() - started
    return found


def coarse(count: int, size: int, channels: int, seed: int) -> PictureSet:
    """Pictures of soft blobs, each like no other."""
    random = torch.Generator().manual_seed(seed)
    small = torch.randint(0, 256, (count, channels, size // 4, size // 4), generator=random).float()
    images = F.interpolate(small, (size, size), mode="bicubic").clamp(0, 255).round().to(torch.uint8)
    return PictureSet(images, torch.arange(count) % 10, tuple("abcdefghij"))


def evaluation(device: str, size: int, samples: int = 1_000, pictures: int = 5_000) -> dict[str, object]:
    """Seconds of the whole evaluation of a model, sampling included, and of making its `Scorer`; 0.165 M parameters at
    16 px, 14.4 M at 32 px. Every sampler runs twice before: what is made once a process is not counted."""
    config = NETS[size]
    parts = [coarse(count, size, config.channels, seed) for seed, count in enumerate((pictures, 2_000, 1_000))]
    settings = ScoringSettings(samples=samples, size=size, channels=config.channels)
    made = []
    for _ in range(2):
        started = time.perf_counter()
        scorer = Scorer(NodeSplit(*parts), settings, device=device)
        made.append(time.perf_counter() - started)
    model = new_model(config)
    for turn in range(2 if device == "cuda" else 0):
        scorer.evaluate(model, bytes([turn]))
    started = time.perf_counter()
    report = scorer.evaluate(model, b"measured")
    seconds = time.perf_counter() - started
    rate = samples / float(report.timings["sampling"])
    return {
        "seconds": seconds,
        "seconds_without_sampling": report.timings["total"],
        "parts": report.timings,
        "sampled_pictures_per_second": rate,
        "scorer_seconds": made[-1],
        "scorer_seconds_first": made[0],
        "samples": samples,
        "pictures": pictures,
    }


def run(samples: int, dim: int, repeats: int, seed: int) -> dict[str, object]:
    """Everything; keys as documented in docs/scoring.md."""
    ours, theirs, ratios, values = {}, {}, {}, {}
    for name, (mine, peer) in parts(samples, dim, seed).items():
        times, results = in_turns([mine, peer] if peer else [mine], repeats if peer else 1)
        ours[name] = times[0]
        if peer is None:
            continue
        theirs[name], ratios[name] = times[1], times[1] / times[0]
        values[name] = [first_number(result) for result in results]
        print(f"{name}: {ours[name]:.3f} s, peer {theirs[name]:.3f} s", file=sys.stderr)
    rng_parts = features(samples, dim, seed)
    (together,), _ = in_turns([lambda: measure_all(*rng_parts, likelihood=False)], repeats)
    compared = sum(theirs[name] for name in theirs if not name.startswith("neighbours"))
    cost = picture_cost(repeats)
    return {
        "ratio_total": compared / together,
        "parts": ratios,
        "one_pass_seconds": together,
        "seconds": ours,
        "peer_seconds": theirs,
        "values": values,
        "ms_per_image": sum(cost.values()),
        "ms_parts": cost,
        "device": processor(),
        "evaluation": {"16px": evaluation("cpu", 16)},
        "gpu": on_gpu(repeats),
        "threads": torch.get_num_threads(),
        "samples": samples,
        "dim": dim,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def show(result: dict[str, object]) -> None:
    """A table for people."""
    print(f"{'measure':16} {'ours s':>8} {'peer s':>8} {'ratio':>7}   ours / peer value")
    for name, ours in result["seconds"].items():
        if name in result["parts"]:
            a, b = result["values"][name]
            peer, ratio = result["peer_seconds"][name], result["parts"][name]
            print(f"{name:16} {ours:8.3f} {peer:8.3f} {ratio:6.1f}x   {a:.6g} / {b:.6g}")
        else:
            print(f"{name:16} {ours:8.3f} {'-':>8} {'-':>7}   no installable peer")
    print(f"one pass over all that have a peer: {result['one_pass_seconds']:.3f} s, {result['ratio_total']:.1f}x")
    print(f"{result['ms_per_image']:.2f} ms a picture {result['ms_parts']}")
    gpu = result["gpu"]
    for place, whole in (
        (result["device"], result["evaluation"]),
        *([(gpu["device"], gpu["evaluation"])] if gpu else []),
    ):
        show_evaluation(place, whole)
    print(f"on {gpu['device']}: {gpu['ms_per_image']:.2f} ms {gpu['ms_parts']}" if gpu else "no GPU can be used here")
    print(
        f"{result['device']}, {result['threads']} threads, peak {result['peak_memory_mb']:.0f} MB; paper: 41 ms (GPU)"
    )


def show_evaluation(device: str, found: dict[str, dict[str, object]]) -> None:
    """One line a size."""
    for size, row in found.items():
        print(
            f"{device}, {size}: {row['samples']} samples evaluated in {row['seconds']:.2f} s, "
            f"{row['seconds_without_sampling']:.2f} s of it after sampling {row['parts']}; "
            f"a scorer of {row['pictures']} pictures in {row['scorer_seconds']:.2f} s"
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--large", type=int, default=0, help="only a search among so many points of 256 columns")
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--memory-mb", type=int, default=256)
    parser.add_argument("--evaluation", choices=("cpu", "cuda"), help="only the whole evaluation, on this device")
    options = parser.parse_args()
    set_threads(options.threads)
    if options.large:
        print(json.dumps(large_search(options.large, options.queries, options.memory_mb << 20)))
        return
    if options.evaluation:
        sizes = (16, 32) if options.evaluation == "cuda" else (16,)
        whole = {f"{size}px": evaluation(options.evaluation, size) for size in sizes}
        device = torch.cuda.get_device_name() if options.evaluation == "cuda" else processor()
        found = {"device": device, "evaluation": whole, **measured_on(options.evaluation)}
        if options.evaluation == "cuda":
            found["large_sampled_pictures_per_second"] = sampled(LARGE, "cuda")
        if options.json:
            print(json.dumps(found))
            return
        show_evaluation(device, whole)
        print(", ".join(f"{name} {value:.3g}" for name, value in found.items() if isinstance(value, float)))
        return
    result = run(options.samples, options.dim, options.repeats, options.seed)
    print(json.dumps(result)) if options.json else show(result)


if __name__ == "__main__":
    main()
