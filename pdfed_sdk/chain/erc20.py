"""The few calls to a task's token that are needed: ERC-20, permits (ERC-2612), and the test token's ``mint``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pdfed_sdk.chain.calls import Call, contract_call, nothing, only
from pdfed_sdk.chain.eip712 import domain_separator, typed_data
from pdfed_sdk.types import Address

T = TypeVar("T")
PERMIT_FIELDS = (
    ("owner", "address"),
    ("spender", "address"),
    ("value", "uint256"),
    ("nonce", "uint256"),
    ("deadline", "uint256"),
)


@dataclass(frozen=True, slots=True)
class TokenCalls:
    """Calls to a token; ``mint`` exists on the test token only."""

    address: Address

    def _token(self, function: str, read: Callable[[list[Any]], T], *args: Any) -> Call[T]:
        return contract_call("TestToken", self.address, function, args, read)

    def decimals(self) -> Call[int]:
        return self._token("decimals", only)

    def symbol(self) -> Call[str]:
        return self._token("symbol", only)

    def name(self) -> Call[str]:
        return self._token("name", only)

    def nonces(self, owner: Address) -> Call[int]:
        return self._token("nonces", only, owner)

    def domain_separator(self) -> Call[bytes]:
        return self._token("DOMAIN_SEPARATOR", only)

    def balance_of(self, owner: Address) -> Call[int]:
        return self._token("balanceOf", only, owner)

    def allowance(self, owner: Address, spender: Address) -> Call[int]:
        return self._token("allowance", only, owner, spender)

    def approve(self, spender: Address, amount: int) -> Call[None]:
        return self._token("approve", nothing, spender, amount)

    def transfer(self, to: Address, amount: int) -> Call[None]:
        return self._token("transfer", nothing, to, amount)

    def mint(self, to: Address, amount: int) -> Call[None]:
        return self._token("mint", nothing, to, amount)


@dataclass(frozen=True, slots=True)
class PermitDomain:
    """The EIP-712 domain in which a token takes permits."""

    name: str
    version: str
    chain_id: int
    token: Address

    @classmethod
    def of(cls, name: str, chain_id: int, token: Address, separator: bytes) -> PermitDomain | None:
        """The domain with this separator; None if the token builds it from anything but the usual versions."""
        for version in ("1", "2"):
            if domain_separator(name, version, chain_id, token) == separator:
                return cls(name, version, chain_id, token)
        return None

    def typed_data(self, owner: Address, spender: Address, amount: int, nonce: int, deadline: int) -> dict[str, Any]:
        """What ``owner`` signs so that ``spender`` may take exactly ``amount`` until ``deadline``."""
        message = {"owner": owner, "spender": spender, "value": amount, "nonce": nonce, "deadline": deadline}
        return typed_data(self.name, self.version, self.chain_id, self.token, "Permit", PERMIT_FIELDS, message)
