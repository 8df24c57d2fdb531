"""People with keys, tasks with tokens: everything that stands before the first step of an example."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from eth_account import Account
from eth_utils import keccak
from support.task import DEFAULTS, GENESIS, PARAMETERS, digest

from pdfed_sdk.chain import commitments
from pdfed_sdk.chain.calls import TaskParams
from pdfed_sdk.chain.codec import snake
from pdfed_sdk.types import ModelDigests

from .target import Chain, Target, interface_of

CHAIN_ID = 31_337
WEALTH = 10**27
NAMES = ("ann", "bea", "cem", "dan", "eve", "fay", "wallet")
WINDOWS = {
    "submitWindow": 10, "commitWindow": 40, "revealGap": 2, "revealWindow": 25, "warmUp": 3,
    "unbonding": 70, "grace": 30,
}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """An account. A smart account acts through its owner and signs with its owner's key (ERC-1271)."""

    name: str
    address: str
    key: bytes
    owner: str | None = None

    def sign(self, message: bytes) -> bytes:
        return bytes(Account._sign_hash(message, self.key).signature)


def person(name: str) -> Person:
    key = bytes(keccak(text=f"pdfed/{name}"))
    return Person(name, Account.from_key(key).address.lower(), key)


@dataclass(frozen=True)
class Scene:
    """One task that stands on the chain."""

    number: int
    params: dict[str, Any]
    address: dict[str, str]  # of vault, registry, book, pool, token
    created: int
    domain: bytes = field(repr=False)
    permit_domain: bytes = field(repr=False)

    @property
    def nowhere(self) -> tuple[str, str]:
        """Who can never receive."""
        return "0x" + "00" * 20, self.address["vault"]

    def sdk_params(self) -> TaskParams:
        return TaskParams(**{snake(name): self.params[name] for name in PARAMETERS})


GENESIS_DIGESTS = ModelDigests(*GENESIS)


class World:
    """The chain of a target with one task for each entry of `settings`, and the same people in all of them."""

    def __init__(self, target: Target, settings: list[dict[str, Any]], extra: int = 0) -> None:
        self.chain = chain = Chain(target)
        self.wire = chain.wire
        self.sponsor, self.guardian, self.stranger, self.key, self.user = map(
            person, ("sponsor", "guardian", "stranger", "key", "user")
        )
        owner = person("owner")
        wallet = chain.deploy("TestWallet", sender=owner.address)
        self.people = [person(n) for n in NAMES if n != "wallet"]
        self.people.append(Person("wallet", wallet, owner.key, owner.address))
        self.people += [person(f"extra {i}") for i in range(extra)]
        self.by_address = {
            p.address: p for p in (*self.people, self.sponsor, self.guardian, self.stranger, self.key, self.user)
        }
        self.scenes = [self._scene(i, changes) for i, changes in enumerate(settings)]
        self.scene_of = {a: s for s in self.scenes for name, a in s.address.items() if name != "token"}

    def _scene(self, number: int, changes: dict[str, Any]) -> Scene:
        chain = self.chain
        changes = dict(changes)
        decimals = changes.pop("decimals", 18)
        token = (
            chain.deploy("BlacklistToken") if decimals == "blacklist"
            else chain.deploy("TestToken", "Test", "TST", decimals)
        )  # fmt: skip
        params = {
            **DEFAULTS, **WINDOWS, "token": token, "sponsor": self.sponsor.address, "guardian": self.guardian.address,
            **changes,
        }  # fmt: skip
        parts = chain.create_task(self.sponsor.address, tuple(params[name] for name in PARAMETERS))
        address = dict(zip(("vault", "registry", "book", "pool"), (a.lower() for a in parts), strict=True), token=token)
        tokens = interface_of(chain, "token")
        for p in (*self.people, self.sponsor, self.user):
            chain.send(chain.deployer, token, tokens.data("mint", p.address, WEALTH))
            self.send(p, token, tokens.data("approve", address["vault"], 2**256 - 1))
        created = int(self.wire.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        data = "0x" + interface_of(chain, "registry").data("lastFinalizedAt").hex()
        created = int(self.wire.rpc("eth_call", {"to": address["registry"], "data": data}, "latest"), 16)
        domain = commitments.domain_separator("PDFed", "1", CHAIN_ID, address["book"])
        name = "Blacklist" if decimals == "blacklist" else "Test"
        permit = commitments.domain_separator(name, "1", CHAIN_ID, token)
        return Scene(number, params, address, created, domain, permit)

    def envelope(self, who: Person, to: str, data: bytes) -> tuple[str, str, bytes]:
        """(sender, recipient, data) of what `who` does: a smart account is called by its owner."""
        if who.owner is None:
            return who.address, to, data
        return who.owner, who.address, self.chain.interfaces["TestWallet"].data("act", to, data)

    def send(self, who: Person, to: str, data: bytes) -> None:
        self.chain.send(*self.envelope(who, to, data))


def stakes_of(params: dict[str, Any], units: int) -> int:
    """Whole minimum stakes and a little that is not."""
    return int(units * params["minStake"] + params["minStake"] * units // 100)


def content(id_: Any) -> tuple[bytes, int, bytes, bytes]:
    """Digests of a model by its name."""
    return digest("package", id_), 0x70, digest("weights", id_), digest("manifest", id_)
