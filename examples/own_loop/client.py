"""A trainer with a training loop of its own: the SDK finds, checks and publishes models, the rest is plain PyTorch.

    python client.py --task 0x... --keystore keystore.json --data pictures --store local:store --steps 200

It takes the best model of the task, trains it on a folder of pictures, signs the result with its lineage, and submits
it. PDFED_RPC, PDFED_TASK, PDFED_KEYSTORE, PDFED_STORE and PDFED_PASSWORD stand in for options. Interrupted after the
package is built, the same command continues where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from pdfed_sdk import PdfedClient
from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.open_store import open_store
from pdfed_sdk.artifacts.provenance import ParentLink, build_package
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.family import Model, load_model
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.sources import Reading, load_pictures
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.model_card import write_card
from pdfed_sdk.node.publishing import SubmitReceipt, submit_model
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import BPS, Parent, Role


def batches(pictures: PictureSet, size: int, random: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches without end: images (B, C, S, S) in [-1, 1], every other one shifted by a pixel, and labels (B,)."""
    while True:
        order = torch.randperm(len(pictures), generator=random)
        for rows in order.split(size):
            images = pictures.images[rows].float() / 127.5 - 1
            images[::2] = images[::2].roll(int(torch.randint(-1, 2, (1,), generator=random)), dims=-1)
            yield images, pictures.labels[rows]


def train(model: Model, pictures: PictureSet, steps: int, seed: int, accumulate: int = 2) -> dict[str, object]:
    """The loop: SGD with Nesterov momentum, a one-cycle rate, gradients accumulated over two batches."""
    random = torch.Generator().manual_seed(seed)
    network = model.network
    optimiser = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.02, total_steps=steps + 1)
    source, loss = batches(pictures, 16, random), torch.zeros(())
    network.train()
    for _ in range(steps):
        optimiser.zero_grad()
        for _ in range(accumulate):
            images, labels = next(source)
            loss = model.family.loss(model, network, images, labels, random, label_dropout=0.1)
            (loss / accumulate).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        rate.step()
    network.eval()
    return {"optimiser": "SGD, Nesterov 0.9", "steps": steps, "seed": str(seed), "loss": f"{loss.item():.4f}"}


def contribute(given: argparse.Namespace) -> SubmitReceipt:
    """Fetch, train, package, submit."""
    password, folder = os.environ["PDFED_PASSWORD"], given.out
    signer = LocalSigner.from_keystore(given.keystore, password=password)
    client = PdfedClient.connect(given.rpc, task=given.task, signer=signer, state=folder / "state")
    if not client.account().roles:
        client.register(Role.TRAINER)
        client.deposit(client.params().submission_bond * 4)

    store, view = open_store(given.store, folder), TaskView(client)
    view.refresh()
    models = ModelCache(folder / "models", store, view, view.params.sponsor)
    parent = Parent(view.best, BPS)
    verified = models.get(parent.id)  # bytes, signature and parents were checked against the chain
    package = folder / "package.zip"
    if not package.exists():
        card = TaskCard.fetch(store, view.params.card_digest)
        model = load_model(verified.folder)
        shape = model.config
        pictures = load_pictures(
            given.data, size=shape.size, channels=shape.channels, reading=Reading(classes=card.classes)
        )
        facts = train(model, pictures, given.steps, given.seed)
        family = model.family
        made = family.save(model, folder / "model")
        title = f"own loop of {signer.address}"
        write_card(made, family=family, title=title, wallet=signer.address, facts=facts, parents=(parent,))
        build_package(
            made,
            package,
            identity=SigningIdentity.load_or_create(folder / "identity.json", password),
            wallet=signer.address,
            training=facts,
            parents=[ParentLink(parent.id, BPS, verified.package)],
            title=title,
        )
    return submit_model(client, store, package, [parent])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rpc", default=os.environ.get("PDFED_RPC", "http://127.0.0.1:8545"))
    parser.add_argument("--task", default=os.environ.get("PDFED_TASK"))
    parser.add_argument("--keystore", type=Path, default=os.environ.get("PDFED_KEYSTORE"))
    parser.add_argument("--store", default=os.environ.get("PDFED_STORE", "local:store"))
    parser.add_argument("--data", type=Path, required=True, help="a folder of pictures, one sub-folder a class")
    parser.add_argument("--out", type=Path, default=Path("own_loop"), help="models, package and state")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    done = contribute(given)
    print(f"submission #{done.id}, {done.cid}, gas {done.gas_used:,}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
