"""The two clients: one verb an action, written once as a flow and driven blocking or awaiting.

``PdfedClient`` and ``AsyncPdfedClient`` have the same methods; the async one returns awaitables. What a verb does
stands in reads.py, actions.py and voting.py; how it reaches the endpoint in rpc.py.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from pdfed_sdk.chain.calls import TaskCalls
from pdfed_sdk.chain.connecting import connection
from pdfed_sdk.chain.money import Token
from pdfed_sdk.chain.reads import Connection
from pdfed_sdk.chain.replay import AsyncEventStream, EventStream
from pdfed_sdk.chain.rpc import AsyncWire, Chain, Flow, Options, Provider, Wire
from pdfed_sdk.chain.signers import Signer
from pdfed_sdk.chain.transactions import Sender
from pdfed_sdk.chain.voting import Voting
from pdfed_sdk.errors import UsageError
from pdfed_sdk.types import Address, Task

P = ParamSpec("P")
T = TypeVar("T")
DEFAULTS = Options()


class Verb(Generic[P, T]):
    """A flow of ``Voting`` as a method: blocking on PdfedClient, awaitable on AsyncPdfedClient."""

    def __init__(self, flow: Callable[Concatenate[Voting, P], Flow[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, client: PdfedClient, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncPdfedClient, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.wire.run(self._flow(client.flows, *args, **kwargs))

        return update_wrapper(method, self._flow)


class _Client:
    """State and verbs of both clients."""

    def __init__(self, flows: Voting) -> None:
        self.flows = flows

    @property
    def task(self) -> Task:
        """Addresses of the task's contracts."""
        return self.flows.at.task

    @property
    def calls(self) -> TaskCalls:
        """Builders of raw calls, for ``act`` and ``many``."""
        return self.flows.at.calls

    @property
    def chain_id(self) -> int:
        return self.flows.at.chain_id

    @property
    def token(self) -> Token:
        """The task's token: its symbol and decimals, to read and show amounts."""
        return self.flows.at.token

    @property
    def voter(self) -> Address | None:
        """The node this client votes for; None without a signer."""
        return self.flows.at.voter

    @property
    def address(self) -> Address:
        """The signer's address; UsageError without one."""
        if self.flows.sender is None:
            raise UsageError("this client has no signer", hint="connect with signer=LocalSigner.from_keystore(…)")
        return self.flows.sender.signer.address

    act = Verb(Voting.act)
    register = Verb(Voting.register)
    register_and_deposit = Verb(Voting.register_and_deposit)
    set_voting_key = Verb(Voting.set_voting_key)
    set_metadata = Verb(Voting.set_metadata)
    approve = Verb(Voting.approve)
    transfer = Verb(Voting.transfer)
    mint = Verb(Voting.mint)
    deposit = Verb(Voting.deposit)
    request_unstake = Verb(Voting.request_unstake)
    withdraw = Verb(Voting.withdraw)
    claim = Verb(Voting.claim)
    reserve = Verb(Voting.reserve)
    submit = Verb(Voting.submit)
    commit_score = Verb(Voting.commit_score)
    commit_scores = Verb(Voting.commit_scores)
    sign_commit = Verb(Voting.sign_commit)
    relay_commit = Verb(Voting.relay_commit)
    reveal = Verb(Voting.reveal)
    reveal_due = Verb(Voting.reveal_due)
    finalize_due = Verb(Voting.finalize_due)
    settle = Verb(Voting.settle)
    pour = Verb(Voting.pour)
    divide_commons = Verb(Voting.divide_commons)
    pay_royalty = Verb(Voting.pay_royalty)
    fund = Verb(Voting.fund)
    pause = Verb(Voting.pause)
    close = Verb(Voting.close)
    reclaim = Verb(Voting.reclaim)

    params = Verb(Voting.params)
    genesis = Verb(Voting.genesis)
    now = Verb(Voting.now)
    head = Verb(Voting.head)
    count = Verb(Voting.count)
    next_to_finalize = Verb(Voting.next_to_finalize)
    closed = Verb(Voting.closed)
    paused_until = Verb(Voting.paused_until)
    best = Verb(Voting.best)
    trend = Verb(Voting.trend)
    fee = Verb(Voting.fee)
    balances = Verb(Voting.balances)
    division = Verb(Voting.division)
    totals = Verb(Voting.totals)
    submission = Verb(Voting.submission)
    submissions = Verb(Voting.submissions)
    windows = Verb(Voting.windows)
    parents = Verb(Voting.parents)
    record = Verb(Voting.record)
    tally = Verb(Voting.tally)
    histogram = Verb(Voting.histogram)
    pending = Verb(Voting.pending)
    vote = Verb(Voting.vote)
    voters = Verb(Voting.voters)
    votes = Verb(Voting.votes)
    account = Verb(Voting.account)
    weight = Verb(Voting.weight)
    token_balance = Verb(Voting.token_balance)
    native_balance = Verb(Voting.native_balance)
    receipts = Verb(Voting.receipts)
    many = Verb(Voting.many)
    secrets = Verb(Voting.secrets)
    seed = Verb(Voting.seed)
    opening = Verb(Voting.opening)
    vote_state = Verb(Voting.vote_state)
    due = Verb(Voting.due)


def _chain(rpc: str | Provider, options: Options) -> Chain:
    if not isinstance(rpc, str):
        return Chain("RPC endpoint", options)
    hosts = (url.strip().split("?")[0].split("@")[-1] for url in rpc.split(","))  # an API key may be part of a URL
    return Chain(" or ".join("/".join(host.split("/")[:3]) for host in hosts), options)


def _flows(at: Connection, signer: Signer | None, state: Path | str | None) -> Voting:
    sender = None if signer is None else Sender(at.chain, at.chain_id, signer)
    return Voting(at, sender, Path(state) if state else Path.home() / ".pdfed" / "state")


class PdfedClient(_Client):
    """A task on a chain, blocking. Make it with ``connect``."""

    def __init__(self, flows: Voting, wire: Wire) -> None:
        super().__init__(flows)
        self.wire = wire
        self.events = EventStream(flows.at.log, wire, flows.at.start)

    @classmethod
    def connect(
        cls,
        rpc: str | Provider,
        *,
        task: str,
        signer: Signer | None = None,
        voter: str | None = None,
        state: Path | str | None = None,
        chain_id: int | None = None,
        from_block: int = 0,
        options: Options = DEFAULTS,
    ) -> PdfedClient:
        """Connect to the task whose registry stands at ``task``.

        Chain id (if given), code and wiring are checked. Without a signer the client only reads. ``voter`` is the node
        if the signer is its voting key; ``state`` the folder of its journal; ``from_block`` where the task began.
        RpcUnavailable, WrongChain.
        """
        wire = Wire(rpc, options)
        node = voter or (None if signer is None else signer.address)
        at = wire.run(connection(_chain(rpc, options), task, node, chain_id, from_block))
        return cls(_flows(at, signer, state), wire)

    def close_connection(self) -> None:
        """Drop the HTTP connection."""
        self.wire.close()


class AsyncPdfedClient(_Client):
    """A task on a chain, awaiting. Make it with ``await AsyncPdfedClient.connect(…)``."""

    def __init__(self, flows: Voting, wire: AsyncWire) -> None:
        super().__init__(flows)
        self.wire = wire
        self.events = AsyncEventStream(flows.at.log, wire, flows.at.start)

    @classmethod
    async def connect(
        cls,
        rpc: str | Provider,
        *,
        task: str,
        signer: Signer | None = None,
        voter: str | None = None,
        state: Path | str | None = None,
        chain_id: int | None = None,
        from_block: int = 0,
        options: Options = DEFAULTS,
    ) -> AsyncPdfedClient:
        """The same as ``PdfedClient.connect``."""
        wire = AsyncWire(rpc, options)
        node = voter or (None if signer is None else signer.address)
        try:
            at = await wire.run(connection(_chain(rpc, options), task, node, chain_id, from_block))
        except BaseException:
            await wire.close()
            raise
        return cls(_flows(at, signer, state), wire)

    async def close_connection(self) -> None:
        """Drop the HTTP connection."""
        await self.wire.close()
