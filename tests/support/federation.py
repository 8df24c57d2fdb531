"""A small federation on a real anvil, and made-up models for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.deploy import Manifest, TaskEntry
from pdfed_sdk.chain.event_types import Reserved
from pdfed_sdk.chain.rpc import Options
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.types import ModelDigests, ModelRecord, Parent, SubmissionId
from tests.support.anvil import ETHER, Anvil

FAST = Options(poll=0.01, retries=2, timeout=20, request_timeout=5)
UNIT = ETHER
GENESIS = ModelDigests(b"\x01" * 32, 0x70, b"\x02" * 32, b"\x03" * 32)
KEYS = [index.to_bytes(32, "big") for index in range(0xA11CE, 0xA11CE + 8)]


def digests(number: int) -> ModelDigests:
    """Made-up but distinct content of a model."""
    return ModelDigests(word(number, 1), 0x70, word(number, 2), word(number, 3))


def word(number: int, part: int) -> bytes:
    return bytes([part]) * 16 + number.to_bytes(16, "big")


def record(number: int, *parents: tuple[int, int]) -> ModelRecord:
    return ModelRecord(digests(number), tuple(Parent(SubmissionId(i), bps) for i, bps in parents or ((0, 10_000),)))


@dataclass
class Federation:
    """A task with a sponsor and registered nodes: the first is a trainer, all vote. Time moves only by ``to``."""

    anvil: Anvil
    manifest: Manifest
    entry: TaskEntry
    signers: list[LocalSigner]
    folder: Path

    def client(self, index: int, **options: Any) -> PdfedClient:
        """A fresh client of one key: 0 is the sponsor, 1… are nodes."""
        signer = options.pop("signer", self.signers[index])
        state = options.pop("state", self.folder / f"node{index}")
        return PdfedClient.connect(
            self.anvil.url, task=self.entry.registry, signer=signer, state=state, options=replace(FAST, **options)
        )

    def reader(self, **options: Any) -> PdfedClient:
        return PdfedClient.connect(self.anvil.url, task=self.entry.registry, options=replace(FAST, **options))

    def open_submission(self, author: PdfedClient, number: int, *parents: tuple[int, int]) -> int:
        made, salt = record(number, *parents), word(number, 9)
        submission_id = author.reserve(made.digests.package_digest, salt).one(Reserved).id
        author.submit(submission_id, made, salt)
        return submission_id

    def to(self, moment: int) -> None:
        self.anvil.warp(moment)

    def to_reveal(self, submission_id: int) -> None:
        self.to(self.reader().windows(submission_id).reveal_start)

    def to_end(self, submission_id: int) -> None:
        self.to(self.reader().windows(submission_id).reveal_end)

    def vote(self, submission_id: int, votes: dict[int, int]) -> None:
        """Commit for node index → improvement, reveal all, and let the window end."""
        clients = {index: self.client(index) for index in votes}
        for index, client in clients.items():
            client.commit_score(submission_id, votes[index], bytes([index]) * 32)
        self.to_reveal(submission_id)
        for client in clients.values():
            client.reveal_due()
        self.to_end(submission_id)
