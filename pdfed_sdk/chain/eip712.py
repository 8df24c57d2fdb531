"""EIP-712 typed data: the domain, its separator, and messages as wallets sign them. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from pdfed_sdk.types import Address

_DOMAIN_FIELDS: Final = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)
_DOMAIN_TYPE: Final = keccak(text="EIP712Domain(" + ",".join(f"{kind} {name}" for name, kind in _DOMAIN_FIELDS) + ")")


@lru_cache(64)
def domain_separator(name: str, version: str, chain_id: int, contract: Address) -> bytes:
    """EIP-712 separator of a domain with these four fields."""
    kinds = ["bytes32", "bytes32", "bytes32", "uint256", "address"]
    return keccak(encode(kinds, [_DOMAIN_TYPE, keccak(text=name), keccak(text=version), chain_id, contract]))


def typed_data(
    name: str,
    version: str,
    chain_id: int,
    contract: Address,
    kind: str,
    shape: Sequence[tuple[str, str]],
    message: dict[str, Any],
) -> dict[str, Any]:
    """A message of type ``kind`` in an EIP-712 domain, as wallets and ``Signer.sign_typed`` take it."""
    return {
        "domain": {"name": name, "version": version, "chainId": chain_id, "verifyingContract": contract},
        "types": {
            "EIP712Domain": [{"name": n, "type": t} for n, t in _DOMAIN_FIELDS],
            kind: [{"name": n, "type": t} for n, t in shape],
        },
        "primaryType": kind,
        "message": message,
    }
