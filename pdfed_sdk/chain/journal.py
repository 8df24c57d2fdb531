"""Sealed votes on disk: written and fsync'd before a commit is sent, encrypted, one file a vote.

A vote's content also travels sealed behind the calldata of its own commit (``seal`` / ``unseal``), so that a node whose
state folder is gone recovers salt and content from the chain with nothing but its key. What neither holds is the
evidence tree: it is rebuilt by scoring again, which the derived salt makes repeatable.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pdfed_sdk.chain.calls import Vote
from pdfed_sdk.chain.commitments import stretch
from pdfed_sdk.errors import JournalError
from pdfed_sdk.files import write_durably
from pdfed_sdk.types import Address, ScoreVote, SubmissionId

_MAGIC = b"PDFedJ2\n"
_MAX_FILE = 1 << 16
SEAL_BYTES = 12 + 1 + 32 + 16
"""Nonce, improvement, evidence root, tag: every seal has this size."""


class VoteState(StrEnum):
    """What can be done for a vote: nothing sealed, opening at hand, opened, or sealed with an opening we lack."""

    NONE = "none"
    READY = "ready"
    REVEALED = "revealed"
    MISMATCH = "mismatch"


def vote_state(on_chain: Vote, digest: bytes | None) -> VoteState:
    """State of a vote from its on-chain side and the digest of the opening we hold (None: we hold none)."""
    if on_chain.revealed:
        return VoteState.REVEALED
    if not on_chain.exists:
        return VoteState.NONE
    return VoteState.READY if digest is not None and opens(on_chain, digest) else VoteState.MISMATCH


def opens(on_chain: Vote, digest: bytes) -> bool:
    """Whether a digest is the sealed one; the chain keeps its first 24 bytes (all of it in the event)."""
    return on_chain.exists and digest.startswith(on_chain.commitment)


# --- the seal in the calldata ----------------------------------------------------------------------------------------


def seal(vote: ScoreVote, key: bytes, digest: bytes) -> bytes:
    """Improvement and evidence root under ``VoteSecrets.seal_key``, bound to the commitment; fixed size."""
    nonce = secrets.token_bytes(12)
    content = vote.improvement.to_bytes(1, "big", signed=True) + vote.evidence_root
    return nonce + AESGCM(key).encrypt(nonce, content, digest)


def unseal(sealed: bytes, key: bytes, digest: bytes) -> tuple[int, bytes] | None:
    """Improvement and evidence root, or None if this is no seal of ours for that commitment."""
    if len(sealed) != SEAL_BYTES:
        return None
    try:
        content = AESGCM(key).decrypt(sealed[:12], sealed[12:], digest)
    except InvalidTag:
        return None
    return int.from_bytes(content[:1], "big", signed=True), content[1:]


# --- the folder ------------------------------------------------------------------------------------------------------


def journal_request(node: Address) -> dict[str, Any]:
    """Typed data a node signs to get the key of its journal."""
    warning = "PDFed encrypts the journal of your sealed votes with this signature. Sign it only in your PDFed node."
    return {
        "domain": {"name": "PDFed journal", "version": "1"},
        "types": {
            "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "version", "type": "string"}],
            "JournalKey": [{"name": "warning", "type": "string"}, {"name": "node", "type": "address"}],
        },
        "primaryType": "JournalKey",
        "message": {"warning": warning, "node": node},
    }


class VoteKey(NamedTuple):
    """What one vote is about: the domain it is sealed in, who votes, on which id, and on what stood there."""

    chain_id: int
    book: Address
    voter: Address
    submission_id: int
    record_hash: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One journalled vote, with the domain it is sealed in and the hash of the record that was scored."""

    chain_id: int
    book: Address
    record_hash: bytes
    vote: ScoreVote

    @property
    def key(self) -> VoteKey:
        vote = self.vote
        return VoteKey(self.chain_id, self.book, vote.voter, int(vote.submission_id), self.record_hash)


class VoteJournal:
    """Folder of encrypted votes of one key. Writing is atomic and durable; a damaged file raises JournalError."""

    def __init__(self, folder: Path, secret: bytes) -> None:
        self._folder = folder
        self._cipher = AESGCM(stretch(secret, "journal"))

    def write(self, entry: Entry) -> None:
        """Return only when the entry would survive a power cut."""
        path = self._path(entry.key)
        nonce = secrets.token_bytes(12)
        body = self._cipher.encrypt(nonce, _to_json(entry), path.name.encode())
        try:
            write_durably(path, _MAGIC + nonce + body)
        except OSError as error:
            raise JournalError(
                f"{path} cannot be written ({error.strerror}); the vote was not sent",
                hint="free some space or choose another state folder",
            ) from None

    def read(self, key: VoteKey) -> Entry | None:
        """The entry, None if there is none."""
        path = self._path(key)
        try:
            if path.stat().st_size > _MAX_FILE:
                raise JournalError(f"{path} has {path.stat().st_size} bytes, a vote has at most {_MAX_FILE}")
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JournalError(f"{path} cannot be read ({error.strerror})") from None
        return self._open(path, data)

    def material(self, key: VoteKey) -> bytes:
        """32 random bytes kept for a vote of a signer that cannot derive; made and stored at the first call."""
        path = self._path(key).with_suffix(".secret")
        if path.exists():
            data = path.read_bytes()
            return self._decrypt(path, data)
        fresh, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
        write_durably(path, _MAGIC + nonce + self._cipher.encrypt(nonce, fresh, path.name.encode()))
        return fresh

    def _open(self, path: Path, data: bytes) -> Entry:
        try:
            return _from_json(self._decrypt(path, data))
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(f"{path} is not a vote of this version ({error!r})", hint=_MOVE_AWAY) from None

    def _decrypt(self, path: Path, data: bytes) -> bytes:
        if data.startswith(_MAGIC[:6]) and not data.startswith(_MAGIC):
            raise JournalError(f"{path} was written by another version of the SDK", hint=_MOVE_AWAY)
        if not data.startswith(_MAGIC):
            raise JournalError(f"{path} is not a journal file", hint=_MOVE_AWAY)
        body = data[len(_MAGIC) :]
        try:
            return self._cipher.decrypt(body[:12], body[12:], path.name.encode())
        except (InvalidTag, ValueError):
            raise JournalError(f"{path} does not open with this key, or it is damaged", hint=_MOVE_AWAY) from None

    def _path(self, key: VoteKey) -> Path:
        about = f"{int(key.submission_id)}-{key.record_hash[:8].hex()}"
        return self._folder / f"{key.chain_id}-{key.book[2:].lower()}-{key.voter[2:].lower()}-{about}.vote"


_MOVE_AWAY = "move the file away: the vote is then recovered from the chain"


def stored_secret(path: Path) -> bytes:
    """Random secret of a signer that cannot derive one: made once, kept in a file only its owner reads."""
    if not path.exists():
        write_durably(path, secrets.token_bytes(32))
    return path.read_bytes()


def _to_json(entry: Entry) -> bytes:
    vote = {key: value.hex() if isinstance(value, bytes) else value for key, value in asdict(entry.vote).items()}
    shown = {"chain_id": entry.chain_id, "book": entry.book, "record_hash": entry.record_hash.hex(), "vote": vote}
    return json.dumps(shown).encode()


def _from_json(data: bytes) -> Entry:
    kept = json.loads(data)
    vote = kept["vote"]
    return Entry(
        chain_id=int(kept["chain_id"]),
        book=Address(kept["book"]),
        record_hash=bytes.fromhex(kept["record_hash"]),
        vote=ScoreVote(
            voter=Address(vote["voter"]),
            submission_id=SubmissionId(int(vote["submission_id"])),
            weights_digest=bytes.fromhex(vote["weights_digest"]),
            improvement=int(vote["improvement"]),
            evidence_root=bytes.fromhex(vote["evidence_root"]),
            salt=bytes.fromhex(vote["salt"]),
        ),
    )
