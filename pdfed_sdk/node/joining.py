"""Joining a task with a join file: what is checked before a node's home is made, and what joining takes."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdfed_sdk.artifacts.ipfs import IpfsStore
from pdfed_sdk.artifacts.open_store import open_store
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.money import Token, token_of
from pdfed_sdk.errors import ConfigError, DataError, UsageError
from pdfed_sdk.ml.data import PictureSet, split_nodes
from pdfed_sdk.ml.sources import Reading, read_pictures
from pdfed_sdk.node.author import LEAST_FREE
from pdfed_sdk.node.base_check import check_base, check_own_captions
from pdfed_sdk.node.founding import seconds_to_score
from pdfed_sdk.node.genesis import ADAPTER_DROPOUT, ADAPTER_LR
from pdfed_sdk.node.join_file import JoinFile
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import GENESIS

CONFIG = """# A node of "{title}". Every setting, its meaning and default: docs/node.md
[chain]
rpc = {rpc}
task = {task}
from_block = {from_block}

[store]
uri = {store}

[node]
role = {role}
data = {data}
fit = {fit}
unknown_classes = {unknown}
stake = {stake}  # whole tokens to join with
"""
ADAPTERS = """base = {base}

[training]
lr = {lr}
label_dropout = {dropout}  # share of the captions left out, which guidance needs
"""


GAS = {"joining": 190_000, "a vote": 250_000, "a submission": 300_000}
"""What a node's acts take at most in ordinary cases (tests/contracts/gas/snapshot.json): approval and first deposit; a
vote sealed, opened and settled by itself; a model reserved and submitted."""


@dataclass(frozen=True)
class Findings:
    """What a look at task and pictures told; ``cautions`` are sentences about what may go wrong. ``gas`` of what a node
    does, and the chain's price of it now, in gwei."""

    title: str
    pictures: int
    classes: dict[str, int]
    skipped: list[str]
    seconds: float
    commit_window: int
    stake: str
    bonds: str
    gas: dict[str, int]
    gas_price: float
    cautions: list[str]


def examine(
    join: JoinFile, data: Path, scratch: Path, reading: Reading, stake: float, base: Path | None = None
) -> Findings:
    """Fetch card and genesis, read the pictures as the task wants them, measure a scoring. Sends nothing, makes nothing
    but ``scratch``. Raises what a node would meet: ConfigError, DataError, StoreError, ChainError."""
    client = PdfedClient.connect(join.rpc, task=join.task, from_block=join.from_block)
    if client.chain_id != join.chain_id:
        raise ConfigError(
            f"{join.rpc} is chain {client.chain_id}, the join file names {join.chain_id}", hint="ask anew"
        )
    params, token = client.params(), token_of(client)
    store = open_store(join.store_of_node(), scratch)
    try:
        card = TaskCard.fetch(store, params.card_digest)
        check_base(card, Path(), str(base or ""), "--base")
        view = TaskView(client)
        view.refresh()
        genesis = ModelCache(scratch / "models", store, view, params.sponsor).get(GENESIS)
    finally:
        if isinstance(store, IpfsStore):
            store.close()
    wanted = Reading(reading.fit, card.classes, reading.unknown)
    pictures, skipped = read_pictures(data, size=card.scoring.size, channels=card.scoring.channels, reading=wanted)
    split = split_nodes(pictures, 1)[0]
    if min(len(split.test), len(split.heldout)) < 2:
        raise DataError(f"{data} holds {len(pictures)} pictures, at least 10 are needed", hint="add some")
    check_own_captions(card, split)
    seconds = seconds_to_score(genesis.folder, split, card.scoring)
    counts = {name: int((pictures.labels == number).sum()) for number, name in enumerate(pictures.classes)}
    return Findings(
        title=card.title,
        pictures=len(pictures),
        classes={name: count for name, count in counts.items() if count},
        skipped=[f"{one.file}: {one.reason}" for one in skipped],
        seconds=round(seconds, 1),
        commit_window=params.commit_window,
        stake=token.show(params.min_stake),
        bonds=token.show(params.submission_bond + params.scoring_fee),
        gas=GAS,
        gas_price=int(client.wire.run(client.flows.at.chain.ask("eth_gasPrice")), 16) / 10**9,
        cautions=[*_cautions(seconds, params, stake, token, scratch), *_repeated(pictures, card)],
    )


def _cautions(seconds: float, params: Any, stake: float, token: Token, place: Path) -> list[str]:
    found = []
    if 2 * seconds > params.commit_window:
        found.append(f"one scoring takes {seconds:.0f} s here, the commit window is {params.commit_window} s: too slow")
    if stake and token.units(stake) < params.min_stake:
        found.append(
            f"a stake of {stake:g} is below one unit of weight, {token.show(params.min_stake)}: no vote counts"
        )
    elif stake and token.units(stake) < 2 * params.min_stake:
        found.append("the stake is less than two units of weight: one small charge leaves it without a vote")
    elif stake and token.units(stake) % params.min_stake < params.min_stake // 50:
        found.append(
            f"the stake of {stake:g} is just {token.units(stake) // params.min_stake} units of weight: the first small "
            "charge costs one of them; a little more keeps it"
        )
    free = shutil.disk_usage(place).free
    if free < LEAST_FREE:
        found.append(f"{free >> 20} MB are free, {LEAST_FREE >> 20} MB are needed to train")
    return found


def _repeated(pictures: PictureSet, card: TaskCard) -> list[str]:
    """What an adapter would memorise first."""
    if card.adapter is None:
        return []
    from pdfed_sdk.ml.lora.learning import repeated

    found = repeated(pictures, card.adapter)
    told = [(found.pictures, "repeat another picture"), (found.captions, "share their caption with another picture")]
    return [f"{n} of {len(pictures)} pictures {what}: what is repeated is memorised first" for n, what in told if n]


def write_home(
    home: Path, join: JoinFile, data: Path, role: str, reading: Reading, stake: float, base: Path | None = None
) -> Path:
    """The node's pdfed.toml, with ``base`` for a task of adapters. UsageError if there is one."""
    path = home / "pdfed.toml"
    if path.exists():
        raise UsageError(f"{path} exists already", hint="choose another --home; nothing was changed")
    values: dict[str, Any] = {
        "rpc": join.rpc,
        "task": join.task,
        "store": join.store_of_node(),
        "role": role,
        "data": str(data.resolve()),
        "fit": reading.fit,
        "unknown": reading.unknown,
    }
    shown = {name: json.dumps(value) for name, value in values.items()}
    home.mkdir(parents=True, exist_ok=True)
    title = json.dumps(join.title)[1:-1]  # one line, whatever a stranger wrote
    text = CONFIG.format(title=title, from_block=join.from_block, stake=float(stake), **shown)
    if base is not None:
        shown_base = json.dumps(str(base.resolve()))
        text += ADAPTERS.format(base=shown_base, lr=ADAPTER_LR, dropout=ADAPTER_DROPOUT)
    path.write_text(text, encoding="utf-8")
    return path
