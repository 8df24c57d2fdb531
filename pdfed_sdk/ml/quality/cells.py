"""The cells of C_T: features through a PCA of the training set, and k-means over it.

On the host both are scikit-learn's. Features that lie on another device stay there: the same two algorithms in torch,
with draws of their own, so cells may differ where k-means has several answers of equal worth.
"""

from __future__ import annotations

import torch
from torch import Tensor

WIDTH, CELLS, RESTARTS, STEPS = 64, 3, 10, 300
"""Features wider than WIDTH are projected; k-means is started RESTARTS times and takes at most STEPS steps."""

Cell = tuple[Tensor, Tensor]
"""Features (n, d), and the cell of each, (n,)."""


def cells_of(train: Tensor, test: Tensor, generated: Tensor, seed: int) -> tuple[Cell, Cell, Cell]:
    """The three sets (n, D), float32, projected and with their cells, in the same order."""
    return (_on_host if train.device.type == "cpu" else _on_device)(train, test, generated, seed)


def _on_host(train: Tensor, test: Tensor, generated: Tensor, seed: int) -> tuple[Cell, Cell, Cell]:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    t, e, g = (part.numpy() for part in (train, test, generated))
    if t.shape[1] > WIDTH:
        projection = PCA(n_components=min(WIDTH, len(t)), random_state=seed)
        t = projection.fit_transform(t)
        e, g = projection.transform(e), projection.transform(g)
    found = KMeans(n_clusters=CELLS, n_init=RESTARTS, random_state=seed).fit(t)
    labels = found.labels_, found.predict(e), found.predict(g)
    pairs = [(torch.from_numpy(x), torch.from_numpy(cell)) for x, cell in zip((t, e, g), labels, strict=True)]
    return pairs[0], pairs[1], pairs[2]


def _on_device(train: Tensor, test: Tensor, generated: Tensor, seed: int) -> tuple[Cell, Cell, Cell]:
    parts = [train, test, generated]
    if train.shape[1] > WIDTH:
        mean, axes = _principal(train.double())
        parts = [((part.double() - mean) @ axes).float() for part in parts]
    centres = _k_means(parts[0], seed)
    pairs = [(part, _distances(part, centres).argmin(1)) for part in parts]
    return pairs[0], pairs[1], pairs[2]


def _principal(points: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and the axes (D, k) of most variance."""
    mean = points.mean(0)
    centred = points - mean
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors
    return mean, axes.flip(1)[:, : min(WIDTH, len(points))]


def _distances(points: Tensor, centres: Tensor) -> Tensor:
    """Squared distances (…, n, k) of points (n, d) to centres (…, k, d)."""
    product = points @ centres.transpose(-1, -2)
    return points.square().sum(1)[:, None] - 2 * product + centres.square().sum(-1)[..., None, :]


def _k_means(points: Tensor, seed: int) -> Tensor:
    """Centres (k, d) of the best of all restarts, which run side by side."""
    centres = _spread(points, torch.Generator().manual_seed(seed))
    still = 1e-4 * points.var(0).mean()
    for _ in range(STEPS):
        member = torch.nn.functional.one_hot(_distances(points, centres).argmin(-1), CELLS).to(points.dtype)
        count = member.sum(1)[..., None]
        moved = torch.where(count > 0, member.transpose(1, 2) @ points / count.clamp_min(1), centres)
        shift = (moved - centres).square().sum((1, 2)).max()
        centres = moved
        if shift <= still:
            break
    return centres[_distances(points, centres).amin(-1).sum(-1).argmin()]


def _spread(points: Tensor, random: torch.Generator) -> Tensor:
    """First centres (RESTARTS, k, d): each next point is drawn by its squared distance to those before (k-means++)."""
    chosen = points[torch.randint(len(points), (RESTARTS, 1), generator=random).to(points.device)]
    while chosen.shape[1] < CELLS:
        weight = _distances(points, chosen).amin(-1).clamp_min(0).double().cumsum(1)
        drawn = torch.rand(RESTARTS, 1, generator=random, dtype=torch.float64).to(points.device) * weight[:, -1:]
        place = torch.searchsorted(weight, drawn).clamp_max(len(points) - 1)
        chosen = torch.cat([chosen, points[place]], 1)
    return chosen
