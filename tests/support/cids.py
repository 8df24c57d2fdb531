"""Content of the CID vectors, and CIDs as version 0 writes them."""

from __future__ import annotations

from hashlib import sha256

from pdfed_sdk.artifacts.cid import Cid

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def content(size: int) -> bytes:
    """The vectors' content: 64 KiB block i repeats sha256("pdfed cid i")."""
    return b"".join(sha256(b"pdfed cid %d" % i).digest() * 2048 for i in range(-(-size // 65536)))[:size]


def version_0(cid: Cid) -> str:
    number, text = int.from_bytes(b"\x12\x20" + cid.digest, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return text
