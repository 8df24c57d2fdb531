"""Pictures of every view for the documents, into docs/img: `make screenshots`, a minute or two.

Of runs/demo/report.html where that is named; else of a small federation played for the purpose: a real chain whose time
is moved, real training on MNIST, signed packages. Only the votes are given instead of measured.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.provenance import ParentLink, build_package
from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.deploy import create_task, deploy_factory
from pdfed_sdk.chain.event_types import Reserved
from pdfed_sdk.chain.parameters import task_params
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.family import load_model
from pdfed_sdk.ml.data import partition
from pdfed_sdk.ml.device import set_threads
from pdfed_sdk.ml.diffusion.training import TrainConfig, train
from pdfed_sdk.ml.scoring import ScoringSettings
from pdfed_sdk.ml.scoring.scorer import pinned
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.node.genesis import make_genesis
from pdfed_sdk.node.model_card import write_card
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.types import Address, ModelRecord, Parent, Role, SubmissionId
from pdfed_sdk.watch.home import Home
from pdfed_sdk.watch.report import build_report
from pdfed_sdk.watch.serving import make_watcher, served
from tests.support.anvil import ROOT, start_anvil
from tests.support.browser import look
from tests.support.federation import FAST, KEYS, UNIT, Federation
from tests.support.own_home import make_home

OWNER = 3
"""Whose private page is shown."""
INTO = ROOT / "docs" / "img"
NAMES = ("sponsor", "atelier", "clinic", "studio", "museum", "archive")
STORY: tuple[tuple[int, int, tuple[int, ...], dict[int, int]], ...] = (
    (1, 3_000, (0,), {2: 15, 3: 14, 4: 15, 5: 13}),
    (2, 3_000, (1,), {1: 12, 3: 13, 4: 12, 5: 5}),
    (3, 200, (0,), {1: -8, 2: -8, 4: -8, 5: 2}),
    (4, 4_000, (2, 1), {1: 10, 2: 11, 3: 9, 5: 10}),
    (1, 2_000, (4,), {2: 1, 3: 0, 4: 1}),
    (2, 4_000, (4,), {1: 8, 3: 7, 4: 8, 5: 8}),
    (5, 1_000, (6,), {1: 2, 2: 3}),
)
"""Author, pictures of training, parents, and the votes (buckets) by node; the last one is still open at the end."""


@dataclass
class Studio:
    """What the story needs at hand."""

    federation: Federation
    folder: Path
    store: LocalStore
    identities: dict[int, SigningIdentity]

    def publish(self, author: PdfedClient, index: int, number: int, pictures: int, parents: tuple[int, ...]) -> int:
        """Train on from the first parent, sign, store, reserve, submit."""
        _, private = partition(load_pictures("mnist", size=16))
        start = load_model(self.folder / str(parents[0]) / "model")
        result = train(TrainConfig(pictures=pictures, lr=3e-3, batch=32, seed=number), private, parent=start)
        place, facts = self.folder / str(number), result.facts.to_dict()
        result.model.family.save(result.model, place / "model")
        shares = [10_000] if len(parents) == 1 else [7_000, 3_000]
        declared = tuple(Parent(SubmissionId(p), share) for p, share in zip(parents, shares, strict=True))
        title = f"model {number} of {NAMES[index]}"
        wallet = author.address
        write_card(
            place / "model", family=result.model.family, title=title, wallet=wallet, facts=facts, parents=declared
        )
        links = [ParentLink(p.id, p.weight_bps, self.folder / str(p.id) / "package.zip") for p in declared]
        made = build_package(
            *(place / "model", place / "package.zip"),
            identity=self.identities[index],
            wallet=wallet,
            training=facts,
            parents=links,
            title=title,
        )
        self.store.put(made.path)
        salt = number.to_bytes(32, "big")
        found = author.reserve(made.digests.package_digest, salt).one(Reserved).id
        author.submit(found, ModelRecord(made.digests, declared), salt)
        return found


def prepare(folder: Path) -> Studio:
    anvil = start_anvil()
    signers = [LocalSigner.from_key(key, lock_folder=folder / "locks") for key in KEYS]
    for signer in signers:
        anvil.endow(signer.address)
    manifest = deploy_factory(anvil.url, signers[0], folder=folder, options=FAST)
    assert manifest.token is not None
    identities = {index: SigningIdentity.create(name) for index, name in enumerate(NAMES)}
    store, sponsor = LocalStore(folder / "store"), signers[0].address
    options = {"size": 16, "pictures": 500, "identity": identities[0], "wallet": sponsor}
    genesis = make_genesis(folder / "0", data="mnist", **options)  # type: ignore[arg-type]
    store.put(genesis.package.path)
    card = store.put(TaskCard(pinned(ScoringSettings()), "handwritten digits, 16 × 16").to_bytes())
    params = task_params(manifest.token, sponsor, card_digest=card.digest)
    entry = create_task(anvil.url, signers[0], params, genesis.package.digests, manifest, folder=folder, options=FAST)
    federation = Federation(anvil, manifest, entry, signers, folder)
    bank = federation.client(0)
    bank.mint(bank.address, 1_000_000 * UNIT)
    bank.fund(1_000_000 * UNIT)
    for index in range(1, len(NAMES)):
        node = federation.client(index)
        bank.mint(node.address, 4_000 * UNIT)
        node.register(Role.TRAINER | Role.VALIDATOR)
        node.deposit(4_000 * UNIT)
    anvil.warp(bank.now() + 5)
    return Studio(federation, folder, store, identities)


def play(studio: Studio) -> None:
    """Every submission of the story; all but the last are voted on, decided and paid."""
    federation = studio.federation
    for number, (index, pictures, parents, votes) in enumerate(STORY, 1):
        author = federation.client(index)
        found = studio.publish(author, index, number, pictures, parents)
        assert found == number
        if number == len(STORY):
            for voter, vote in votes.items():
                federation.client(voter).commit_score(found, vote, bytes([voter]) * 32)
            return
        federation.vote(found, votes)
        author.finalize_due()
        author.settle(found)
        while author.pour():
            pass


def record(file: Path) -> None:
    """Play the story and write its report."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        studio = prepare(folder)
        play(studio)
        names = {studio.federation.signers[index].address: name for index, name in enumerate(NAMES)}
        watcher = make_watcher(studio.federation.reader(), folder / "watch", store=studio.store, names=names)
        watcher.follower.catch_up()
        file.write_text(build_report(watcher), encoding="utf-8")
        owner = federation_address(studio, OWNER)
        make_home(folder / "home", owner)
        watcher.home = Home(folder / "home", owner)
        with served(watcher, token="token-of-the-owner") as page:
            shoot_mine(page.url)


def federation_address(studio: Studio, index: int) -> Address:
    return Address(studio.federation.signers[index].address)


def shoot_mine(url: str) -> None:
    private = f"{url}#/mine?token=token-of-the-owner"
    asked = {"click": [".cards button"], "then": ".pairs img", "wait": "footer", "axe": False}
    shot = {"shot": str(INTO / "watch-mine.png"), "full": False, "height": 1700}
    (seen,) = look({"name": "watch-mine", "url": private, **asked, **shot})
    print(f"docs/img/watch-mine.png  {seen['heading']}  {seen['errors'] or ''}")


def shoot(report: Path) -> None:
    data = re.search(r'<script id="report" type="application/json">(.*?)</script>', report.read_text(), re.S)
    assert data is not None
    views = json.loads(data[1])["views"]
    best, richest = views["federation"]["best"]["id"], views["money"]["nodes"][0]["address"]
    address = report.as_uri()
    shots = {
        "watch-federation": {"url": f"{address}#/federation"},
        "watch-submission": {"url": f"{address}#/submission/{best}"},
        "watch-money": {"url": f"{address}#/money", "full": False, "height": 1400},
        "watch-node": {"url": f"{address}#/node/{richest}", "full": False, "height": 1400},
        "watch-audit": {"url": f"{address}#/audit"},
        "watch-phone": {"url": f"{address}#/federation", "width": 390, "height": 1400, "dark": True, "full": False},
    }
    common = {"wait": "footer", "axe": False}
    pages = [{"name": name, "shot": str(INTO / f"{name}.png"), **common, **one} for name, one in shots.items()]
    for seen in look(*pages):
        print(f"docs/img/{seen['name']}.png  {seen['heading']}  {seen['errors'] or ''}")


def main() -> None:
    set_threads(1)
    INTO.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) > 1:
        shoot(Path(sys.argv[1]).resolve())
        return
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.html"
        record(report)
        shoot(report)


if __name__ == "__main__":
    main()
