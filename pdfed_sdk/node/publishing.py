"""Put a package on chain: reserve, publish, submit. Killed between any two steps, it goes on where it was."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pdfed_sdk.artifacts.cid import cid_of
from pdfed_sdk.artifacts.provenance import Expected, ExpectedModel, digests_of, verify_package
from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.event_types import Reserved
from pdfed_sdk.errors import PackageInvalid
from pdfed_sdk.files import write_durably
from pdfed_sdk.types import GENESIS, ModelRecord, Parent, SubmissionId


@dataclass(frozen=True, slots=True)
class SubmitReceipt:
    """What became of a submission: its id, the record on chain, and the gas of both transactions."""

    id: SubmissionId
    record: ModelRecord
    cid: str
    gas_used: int


def submit_model(
    client: PdfedClient,
    store: Store,
    package: Path,
    parents: Sequence[tuple[int, int] | Parent],
    *,
    state: Path | None = None,
    max_fee: int | None = None,
) -> SubmitReceipt:
    """Reserve an id for ``package``, publish its bytes, then submit the record.

    ``parents`` are (id, weight in basis points), 1 to 4 of them, summing to 10,000. ``state`` is the file that makes
    the call resumable (default: beside the package): it keeps the salt of the reservation, and is written before
    anything is sent. ``max_fee``: most that the scoring fee may be (default: what it is now). The bytes are published
    only when the reservation is as deep as the client's confirmations say. Raises ProtocolRevert, StoreError,
    PackageInvalid, ChainError.
    """
    state = state or package.with_suffix(package.suffix + ".publish.json")
    digests = digests_of(package)
    chosen = tuple(p if isinstance(p, Parent) else Parent(SubmissionId(p[0]), p[1]) for p in parents)
    record = ModelRecord(digests=digests, parents=chosen)
    salt = _salt(state, digests.package_digest)
    reserved = client.reserve(digests.package_digest, salt, max_fee=max_fee)
    submission = SubmissionId(reserved.one(Reserved).id)
    cid = store.put(package)
    if (cid.codec, cid.digest) != (digests.package_codec, digests.package_digest):
        raise PackageInvalid(
            f"the store named {package.name} {cid}, not {cid_of(package)}",
            hint="the package changed while it was being published: build it again",
        )
    store.pin(cid)
    submitted = client.submit(submission, record, salt)
    return SubmitReceipt(submission, record, str(cid), reserved.gas_used + submitted.gas_used)


def check_own(client: PdfedClient, package: Path, parents: Sequence[tuple[int, int]]) -> None:
    """Refuse a package that every voter would refuse, before a bond is at stake: not signed by the client's wallet, or
    made from other parents than ``parents`` (id, weight). Raises PackageInvalid, ProvenanceInvalid, DigestMismatch,
    ProtocolRevert for an id that is not there."""
    expected = {}
    for number, _ in parents:
        digests = client.record(number).digests
        wallet = client.submission(number).terms.author if number != GENESIS else client.params().sponsor
        expected[number] = ExpectedModel(wallet, digests.weights_digest, digests.manifest_digest)
    verify_package(package, Expected(author=client.address, parents=expected))


def _salt(state: Path, package_digest: bytes) -> bytes:
    """The reservation's salt, remembered before the reservation is sent."""
    if state.exists():
        kept = json.loads(state.read_text(encoding="utf-8"))
        if kept.get("package_digest") == package_digest.hex():
            return bytes.fromhex(kept["salt"])
    salt = secrets.token_bytes(32)
    write_durably(state, json.dumps({"package_digest": package_digest.hex(), "salt": salt.hex()}).encode())
    return salt
