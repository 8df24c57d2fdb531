"""The few calls to a task's token that are needed: ERC-20, and the test token's ``mint``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pdfed_sdk.chain.protocol import Call, contract_call, nothing, only
from pdfed_sdk.types import Address

T = TypeVar("T")


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
