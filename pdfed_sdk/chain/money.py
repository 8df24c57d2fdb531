"""Amounts of a task's token: whole tokens as people write them, units as the chain counts them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from pdfed_sdk.errors import UsageError

if TYPE_CHECKING:
    from pdfed_sdk.chain.client import PdfedClient


@dataclass(frozen=True, slots=True)
class Token:
    """The ERC-20 of a task."""

    symbol: str
    decimals: int

    def units(self, amount: str | float) -> int:
        """Whole tokens to units, exactly. UsageError if it is no amount above zero or has too many decimals."""
        try:
            exact = Decimal(str(amount)).scaleb(self.decimals)
            whole = int(exact)
        except (InvalidOperation, OverflowError, ValueError) as error:
            raise UsageError(f'amount is "{amount}"', hint="give whole tokens, e.g. 100 or 0.5") from error
        if whole <= 0 or whole >= 2**88:
            raise UsageError(f"amount is {amount}, not above 0 and payable", hint="give whole tokens, e.g. 100 or 0.5")
        if whole != exact:
            raise UsageError(f"amount is {amount}: {self.symbol} has {self.decimals} decimals", hint="round it")
        return whole

    def show(self, units: int) -> str:
        """Units as people read them, e.g. "1,234.5 PDT"; nothing is rounded away."""
        text = f"{Decimal(units).scaleb(-self.decimals):,f}"
        return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {self.symbol}"


UNITS = Token("units", 0)
"""What amounts are shown in where the token is not known."""


def token_of(client: PdfedClient) -> Token:
    """The task's token. One without ``symbol`` or ``decimals`` is shown in units."""
    return client.token
