"""What a client can do to a task besides voting, as flows: one verb an action, each returning a typed receipt."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from eth_utils.crypto import keccak

from pdfed_sdk.chain.calls import ZERO_ADDRESS, Call, Hop, SubmissionView
from pdfed_sdk.chain.codec import artifact, encode, quantity
from pdfed_sdk.chain.commitments import reservation_hash
from pdfed_sdk.chain.erc20 import PermitDomain, TokenCalls
from pdfed_sdk.chain.event_types import Event, Reserved, ShareGiven, Submitted, decode_log
from pdfed_sdk.chain.reads import Reads, address, word
from pdfed_sdk.chain.rpc import Flow, Sleep
from pdfed_sdk.chain.transactions import Mined, Sender
from pdfed_sdk.errors import ChainError, ProtocolRevert, RpcUnavailable, TransactionFailed, UsageError
from pdfed_sdk.types import GENESIS, Address, ModelRecord, Role, Status

E = TypeVar("E", bound=Event)
P = TypeVar("P")
MOST_AT_ONCE = 50
"""Votes sealed, opened or settled, or models poured, in one transaction."""
PERMIT_LIFE = 3_600
"""Seconds a signed permit is good for; it is sent at once."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined action: the transaction and the task's events in it. After a dry run ``tx_hash`` is empty."""

    tx_hash: str
    block: int
    timestamp: int
    gas_used: int
    events: tuple[Event, ...]

    def all(self, kind: type[E]) -> tuple[E, ...]:
        """The events of one class."""
        return tuple(event for event in self.events if isinstance(event, kind))

    def one(self, kind: type[E]) -> E:
        """The only event of a class; TransactionFailed if there is not exactly one."""
        found = self.all(kind)
        if len(found) != 1:
            raise TransactionFailed(f"{self.tx_hash or 'a dry run'} has {len(found)} events {kind.__name__}, not one")
        return found[0]


def receipt_of(mined: Mined, contracts: Sequence[Address]) -> Receipt:
    """Typed receipt; logs of other contracts (the token's, say) are left out."""
    ours = {contract.lower() for contract in contracts}
    events = tuple(decode_log(log) for log in mined.logs if str(log.get("address")).lower() in ours)
    return Receipt(mined.tx_hash, mined.block, mined.timestamp, mined.gas_used, events)


@dataclass(frozen=True, slots=True)
class Actions(Reads):
    """Transactions of the client's signer. A ProtocolRevert comes before anything is sent."""

    sender: Sender | None = None

    def _sender(self) -> Sender:
        if self.sender is None:
            raise UsageError("this client has no signer", hint="connect with signer=LocalSigner.from_keystore(…)")
        return self.sender

    def _me(self) -> Address:
        return self._sender().signer.address

    def act(self, call: Call[Any], *, least_gas: int = 0) -> Flow[Receipt]:
        """Send any call of this protocol and wait for it; ``least_gas`` where an estimate may be too low."""
        sender = self._sender()
        if self.at.chain.options.dry_run:
            gas = max(least_gas, (yield from sender.simulate(call)))
            return Receipt("", (yield from self.head()), (yield from self.now()), gas, ())
        return receipt_of((yield from sender.send(call, least_gas)), self.at.log.contracts)

    def _together(
        self, parts: Sequence[P], one: Callable[[P], Call[Any]], many: Callable[[Sequence[P]], Call[Any]]
    ) -> Flow[list[Receipt]]:
        """Send what passes alone in as few transactions as possible; an error is raised only if nothing passes."""
        passing: list[tuple[P, int]] = []
        errors: list[ProtocolRevert] = []
        for part in parts:
            try:
                passing.append((part, (yield from self._sender().simulate(one(part)))))
            except ProtocolRevert as error:
                errors.append(error)
        if errors and not passing:
            raise errors[0]
        receipts: list[Receipt] = []
        for start in range(0, len(passing), MOST_AT_ONCE):
            batch = passing[start : start + MOST_AT_ONCE]
            call = one(batch[0][0]) if len(batch) == 1 else many([part for part, _ in batch])
            receipts.append((yield from self.act(call, least_gas=sum(gas for _, gas in batch))))
        return receipts

    def _past(self, event: Event) -> Flow[Receipt]:
        """The receipt of the transaction that emitted an event."""
        where = event.where
        raw = yield from self.at.chain.ask("eth_getTransactionReceipt", where.tx_hash)
        stamp = (yield from self.at.chain.block(where.block))["timestamp"]
        mined = Mined(
            where.tx_hash,
            where.block,
            quantity(stamp, "timestamp"),
            quantity(raw.get("gasUsed"), "gasUsed"),
            tuple(raw.get("logs") or ()),
            None,
        )
        return receipt_of(mined, self.at.log.contracts)

    def depth(self, block: int) -> Flow[int]:
        """Confirmations of a block: 1 for the latest."""
        return (yield from self.head()) - block + 1

    def confirmed(self, block: int) -> Flow[None]:
        """Wait until a block is as deep as the client's confirmations say; ChainError if the chain stands still."""
        options, reached, since = self.at.chain.options, 0, time.monotonic()
        while (depth := (yield from self.depth(block))) < options.confirmations:
            if depth > reached:
                reached, since = depth, time.monotonic()
            if time.monotonic() - since > options.timeout:
                raise ChainError(
                    f"block {block} has {depth} of {options.confirmations} confirmations, and none was added in "
                    f"{options.timeout:.0f} s",
                    hint="the chain stands still, or ask for fewer confirmations",
                )
            yield Sleep(options.poll)

    def _submit_event(self, submission_id: int) -> Flow[Submitted]:
        for event in (yield from self.at.log.select(Submitted, self.at.start, word(int(submission_id)))):
            if isinstance(event, Submitted):
                return event
        raise ChainError(f"submission {submission_id} has not been submitted", hint="look at its status")

    # --- token ---

    def approve(self, amount: int) -> Flow[Receipt]:
        """Let the vault take ``amount`` of the task's token from the signer."""
        token = TokenCalls((yield from self.params()).token)
        return (yield from self.act(token.approve(self.at.task.vault, _positive(amount))))

    def transfer(self, to: str, amount: int) -> Flow[Receipt]:
        """Send the task's token from the signer to an address."""
        token = TokenCalls((yield from self.params()).token)
        return (yield from self.act(token.transfer(address(to), _positive(amount))))

    def mint(self, to: str, amount: int) -> Flow[Receipt]:
        """Make test tokens; only the test token of development chains has this."""
        token = TokenCalls((yield from self.params()).token)
        return (yield from self.act(token.mint(address(to), _positive(amount))))

    def _allow(self, amount: int) -> Flow[None]:
        token = TokenCalls((yield from self.params()).token)
        if (yield from self._view(token.allowance(self._me(), self.at.task.vault))) < _positive(amount):
            yield from self.approve(amount)

    # --- a node's own journey ---

    def register(
        self, roles: Role, *, voting_key: str | None = None, metadata_digest: bytes = bytes(32)
    ) -> Flow[Receipt]:
        """Register the signer as a node; roles are fixed from then on."""
        key = ZERO_ADDRESS if voting_key is None else address(voting_key, "voting key")
        return self.act(self.at.calls.register(roles, key, metadata_digest))

    def register_and_deposit(
        self, roles: Role, amount: int, *, voting_key: str | None = None, metadata_digest: bytes = bytes(32)
    ) -> Flow[Receipt]:
        """`register` and `deposit` in one transaction, after an approval if the vault may not take that much yet."""
        yield from self._allow(amount)
        key = ZERO_ADDRESS if voting_key is None else address(voting_key, "voting key")
        return (yield from self.act(self.at.calls.register_and_deposit(roles, key, metadata_digest, amount)))

    def set_voting_key(self, voting_key: str) -> Flow[Receipt]:
        """Choose the hot key that may vote for the signer's node."""
        return self.act(self.at.calls.set_voting_key(address(voting_key, "voting key")))

    def set_metadata(self, metadata_digest: bytes) -> Flow[Receipt]:
        """Announce a new digest of the node's metadata."""
        return self.act(self.at.calls.set_metadata(metadata_digest))

    def deposit(self, amount: int) -> Flow[Receipt]:
        """Add stake; counts after the task's warm-up.

        If the vault may not take that much yet: with a signed permit where the token has ERC-2612, else an approval.
        """
        token = TokenCalls((yield from self.params()).token)
        if (yield from self._view(token.allowance(self._me(), self.at.task.vault))) < _positive(amount):
            domain = yield from self._permit_domain(token)
            if domain is not None:
                return (yield from self._deposit_with_permit(token, domain, amount))
            yield from self.approve(amount)
        return (yield from self.act(self.at.calls.deposit(amount)))

    def _permit_domain(self, token: TokenCalls) -> Flow[PermitDomain | None]:
        try:
            name, separator = yield from self.at.chain.read(token.name(), token.domain_separator())
        except RpcUnavailable:
            raise
        except (ProtocolRevert, ChainError):
            return None  # no ERC-2612
        return PermitDomain.of(name, self.at.chain_id, token.address, separator)

    def _deposit_with_permit(self, token: TokenCalls, domain: PermitDomain, amount: int) -> Flow[Receipt]:
        nonce = yield from self._view(token.nonces(self._me()))
        deadline = (yield from self.now()) + PERMIT_LIFE
        message = domain.typed_data(self._me(), self.at.task.vault, amount, nonce, deadline)
        signature = self._sender().signer.sign_typed(message)
        permit = signature[64], signature[:32], signature[32:64]
        return (yield from self.act(self.at.calls.deposit_with_permit(amount, deadline, permit)))

    def request_unstake(self, amount: int) -> Flow[Receipt]:
        """Take free stake out of the weight and start its unbonding."""
        return self.act(self.at.calls.request_unstake(_positive(amount)))

    def withdraw(self, to: str | None = None) -> Flow[Receipt]:
        """Pay out unbonded stake (default: to the signer)."""
        return self.act(self.at.calls.withdraw(self._me() if to is None else address(to)))

    def claim(self, to: str | None = None) -> Flow[Receipt]:
        """Pay out credit: rewards, fees, shares (default: to the signer)."""
        return self.act(self.at.calls.claim(self._me() if to is None else address(to)))

    # --- trainers ---

    def reserve(self, package_digest: bytes, salt: bytes, *, max_fee: int | None = None) -> Flow[Receipt]:
        """Reserve an id for a package (rule 1); returned, not repeated, if package and salt are reserved already.

        Waits for the client's confirmations: the bytes may be published when this returns. ``max_fee``: most that the
        scoring fee may be, in token units (default: what it is now); it doubles with every ``slots`` open ids.
        """
        reservation = reservation_hash(self._me(), package_digest, salt)
        for event in (yield from self.at.log.select(Reserved, self.at.start, None, word(self._me()))):
            if isinstance(event, Reserved) and event.reservation == reservation:
                yield from self.confirmed(event.where.block)
                return (yield from self._past(event))
        most = (yield from self.fee()).fee if max_fee is None else max_fee
        return (yield from self.act(self.at.calls.reserve(reservation, most)))

    def submit(self, submission_id: int, record: ModelRecord, salt: bytes) -> Flow[Receipt]:
        """Open the reservation and publish the record; returned, not repeated, if that has happened."""
        state = yield from self.submission(submission_id)
        if state.status in (Status.OPEN, Status.FINAL) and state.record_hash == record_hash(record):
            for event in (yield from self.at.log.select(Submitted, self.at.start, word(int(submission_id)))):
                return (yield from self._past(event))
        return (yield from self.act(self.at.calls.submit(submission_id, record, salt)))

    # --- anyone ---

    def finalize_due(self, limit: int = 16) -> Flow[Receipt | None]:
        """Finalise up to ``limit`` ids that are past their reveal window; None if none is."""
        first, count, now = (yield from self.next_to_finalize()), (yield from self.count()), (yield from self.now())
        ids = range(first, min(count, first + limit))
        windows = yield from self.at.chain.read_many([self.at.calls.windows(i) for i in ids])
        due = sum(window.reveal_end <= now for window in windows)
        if not due:
            return None
        # exactly the due ones: another that falls due before this is mined would need more gas than was estimated
        return (yield from self.act(self.at.calls.finalize_many(due)))

    def settle(self, submission_id: int, voters: Sequence[str] | None = None) -> Flow[Receipt | None]:
        """Pay and release voters of a terminal id (default: the first 50 not settled yet); None if all are."""
        if voters is None:
            votes = yield from self.votes(submission_id)
            voters = [voter for voter, vote in votes.items() if vote.exists][:MOST_AT_ONCE]
        if not voters:
            return None
        return (yield from self.act(self.at.calls.settle(submission_id, [address(voter) for voter in voters])))

    def pour(self, *hops: Hop) -> Flow[Receipt | None]:
        """Split what models hold among authors, parents and references, descendants first; None if nothing is held.

        Default: everything, to where it ends. At most 50 hops a transaction: pour again for the rest.
        """
        if not hops:
            hops = tuple((yield from self.to_pour())[:MOST_AT_ONCE])
        if not hops:
            return None
        return (yield from self.act(self.at.calls.pour_many(hops)))

    def to_pour(self) -> Flow[list[Hop]]:
        """All hops that have something to pour, or will have it once those before them are poured; in order."""
        given = yield from self.at.log.select(ShareGiven, self.at.start)
        known = sorted({(event.to, event.source) for event in given if isinstance(event, ShareGiven)})
        shares = yield from self.at.chain.read_many([self.at.calls.share_of(i, source) for i, source in known])
        held = {Hop(*key) for key, share in zip(known, shares, strict=True) if share.above or share.held}
        return flow_down((yield from self.submissions()), held)

    def divide_commons(self, submission_id: int) -> Flow[Receipt | None]:
        """After the end of the task: make a best model's part of the commons owed to it; None if it has none."""
        call = self.at.calls.divide_commons(int(submission_id))
        if not (yield from self._view(call, block="pending")):
            return None
        return (yield from self.act(call))

    def pay_royalty(self, submission_id: int, amount: int) -> Flow[Receipt]:
        """Pay for the use of a Final model: its author and lineage get it with the next pour, like a reward.

        Approves the vault first if it may not take that much.
        """
        yield from self._allow(amount)
        return (yield from self.act(self.at.calls.pay_royalty(int(submission_id), amount)))

    # --- sponsor and guardian ---

    def fund(self, amount: int) -> Flow[Receipt]:
        """Add to the pool; approves the vault first if it may not take that much."""
        yield from self._allow(amount)
        return (yield from self.act(self.at.calls.fund(amount)))

    def close(self) -> Flow[Receipt]:
        """Take no new reservations, for good."""
        return self.act(self.at.calls.close())

    def pause(self, duration: int) -> Flow[Receipt]:
        """Guardian: take no new reservations for ``duration`` seconds, at most 14 days, once in 60."""
        if isinstance(duration, bool) or not isinstance(duration, int) or duration <= 0:
            raise UsageError(f"duration {duration!r} is not a whole number of seconds above zero")
        return self.act(self.at.calls.pause(duration))

    def reclaim(self, to: str | None = None) -> Flow[Receipt]:
        """Take the unspent pool after close, the last finalise and grace (default: to the signer)."""
        return self.act(self.at.calls.reclaim(self._me() if to is None else address(to)))


def _positive(amount: int) -> int:
    if isinstance(amount, bool) or not isinstance(amount, int) or amount <= 0:
        raise UsageError(f"amount {amount!r} is not a whole number of token units above zero")
    return amount


def flow_down(views: Sequence[SubmissionView], held: Collection[Hop]) -> list[Hop]:
    """Hops to pour, descendants first: models with something owed or pending, what is ``held`` of others' earnings, and
    all that it flows to but genesis. A parent that reaches above no base gets nothing and is left out."""
    by_id = {view.id: view for view in views}
    standing = {view.id: view.submission.standing for view in views}
    wet = {*held, *(Hop(view.id, view.id) for view in views if view.pending or view.owed)}
    for view in sorted(views, key=lambda view: -view.id):
        for hop in [hop for hop in wet if hop.id == view.id and view.id != GENESIS]:
            wet.add(Hop(view.submission.terms.reference_id, view.submission.terms.reference_id))
            source = by_id[hop.source].submission
            bases = standing[source.standing.previous_id], standing[source.terms.reference_id]
            least = min(base.measured for base in bases)
            wet |= {
                Hop(int(parent.id), hop.source)
                for parent in view.parents
                if by_id[int(parent.id)].submission.status is Status.FINAL and standing[int(parent.id)].measured > least
            }
    return sorted((hop for hop in wet if hop.id != GENESIS), key=lambda hop: (-hop.id, -hop.source))


def record_hash(record: ModelRecord) -> bytes:
    """keccak256(abi.encode(record)), as the registry keeps it once submitted."""
    entry = artifact("ModelRegistry").entry("function", "submit")
    return keccak(encode(entry["inputs"][1:2], [record], "ModelRecord"))


def sealed_call(call: Call[Any], extra: bytes) -> Call[Any]:
    """The same call with bytes behind its arguments, which contracts ignore."""
    return replace(call, data=call.data + extra)
