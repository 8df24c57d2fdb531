"""Openings on their way to a relay: sealed to its public key, so that neither the network nor a disk shows a vote.

X25519 with a key of the sender's for each opening, HKDF-SHA256, AES-256-GCM. The relay's private key is derived from a
signature of its wallet, as a node's journal is: there is no further secret to keep. Pure functions, no I/O.
"""

from __future__ import annotations

import json
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pdfed_sdk.chain.commitments import check_vote, stretch
from pdfed_sdk.chain.reads import address
from pdfed_sdk.chain.signers import Signer
from pdfed_sdk.errors import JournalError, PdfedError, UsageError
from pdfed_sdk.types import Address, ScoreVote, SubmissionId

MOST_BYTES = 2048
"""No sealed opening is longer."""
_MAGIC = b"PDFedR1\n"
_BYTES = ("weights_digest", "evidence_root", "salt")


def relay_request(relay: Address) -> dict[str, Any]:
    """Typed data a relay's wallet signs to get the key that openings are sealed to."""
    warning = (
        "PDFed opens the votes that nodes entrusted to your relay with this signature. Sign it only in your relay."
    )
    return {
        "domain": {"name": "PDFed relay", "version": "1"},
        "types": {
            "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "version", "type": "string"}],
            "RelayKey": [{"name": "warning", "type": "string"}, {"name": "relay", "type": "address"}],
        },
        "primaryType": "RelayKey",
        "message": {"warning": warning, "relay": relay},
    }


def relay_key(signer: Signer) -> X25519PrivateKey:
    """The private key of a relay. UsageError for a signer whose signatures differ each time."""
    if not signer.deterministic:
        raise UsageError("a relay needs a software key", hint="make one with: pdfed keys new")
    return X25519PrivateKey.from_private_bytes(stretch(signer.sign_typed(relay_request(signer.address)), "relay"))


def public_key(text: str) -> X25519PublicKey:
    """A relay's public key from 64 hexadecimal digits, as ``pdfed relay key`` prints it."""
    try:
        return X25519PublicKey.from_public_bytes(bytes.fromhex(text.removeprefix("0x")))
    except ValueError:
        raise UsageError(f"the relay's key is {text!r:.80}", hint="64 hex digits, from: pdfed relay key") from None


def seal_for(relay: X25519PublicKey, vote: ScoreVote, chain_id: int, book: Address) -> bytes:
    """An opening that only the relay can read."""
    fresh = X25519PrivateKey.generate()
    mine = fresh.public_key().public_bytes_raw()
    content = {
        "chain_id": chain_id,
        "book": book,
        "voter": vote.voter,
        "submission_id": int(vote.submission_id),
        "improvement": vote.improvement,
        **{name: getattr(vote, name).hex() for name in _BYTES},
    }
    cipher = AESGCM(_shared(fresh, relay, mine))  # a key used once: the nonce may be fixed
    return _MAGIC + mine + cipher.encrypt(bytes(12), json.dumps(content).encode(), _MAGIC)


def unseal_as(key: X25519PrivateKey, data: bytes, chain_id: int, book: Address) -> ScoreVote:
    """The opening in ``data``. JournalError for what was not sealed to this key, or for another task."""
    start = len(_MAGIC) + 32
    if len(data) > MOST_BYTES or not data.startswith(_MAGIC):
        raise JournalError("this is no sealed opening")
    mine = data[len(_MAGIC) : start]
    try:
        cipher = AESGCM(_shared(key, X25519PublicKey.from_public_bytes(mine), mine))
        kept = json.loads(cipher.decrypt(bytes(12), data[start:], _MAGIC))
        vote = ScoreVote(
            voter=address(kept["voter"], "voter"),
            submission_id=SubmissionId(int(kept["submission_id"])),
            improvement=kept["improvement"],
            **{name: bytes.fromhex(kept[name]) for name in _BYTES},
        )
        check_vote(vote)
        found = (kept["chain_id"], kept["book"])
    except InvalidTag:
        raise JournalError("the opening is sealed to another key", hint="give nodes the key of this relay") from None
    except (ValueError, KeyError, TypeError, AttributeError, PdfedError) as error:
        raise JournalError(f"this is no sealed opening ({error!r:.200})") from None
    if found != (chain_id, book):
        raise JournalError(f"the opening is for the votes of {found!r:.120}, this relay serves {book} on {chain_id}")
    return vote


def _shared(private: X25519PrivateKey, public: X25519PublicKey, mine: bytes) -> bytes:
    secret = private.exchange(public)
    return stretch(secret + mine, "relayed opening")
