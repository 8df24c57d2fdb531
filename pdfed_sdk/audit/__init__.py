"""Rebuild a task from its events alone and compare with the chain: state, every ledger to the unit, votes, lineage.

The invariant *replay* of the protocol. ``audit`` replays a client's events through ``Reducer``, reads the same facts
from the contracts, and asks the caller to fetch and verify packages, which this module knows nothing about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TypeVar

from pdfed_sdk.audit.reducer import Reducer
from pdfed_sdk.audit.state import ModelState, NodeState, TaskState
from pdfed_sdk.chain.actions import record_hash
from pdfed_sdk.chain.calls import Submission
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.journal import opens
from pdfed_sdk.chain.money import token_of
from pdfed_sdk.checks import Check
from pdfed_sdk.errors import ChainError, PdfedError
from pdfed_sdk.types import Address, ModelRecord, Status, SubmissionId

__all__ = ["AuditReport", "Check", "Reducer", "SubmissionRecord", "TaskState", "audit"]


@dataclass(frozen=True, slots=True)
class SubmissionRecord:
    """What a verifier of packages needs to know about one submitted model."""

    id: SubmissionId
    author: Address
    record: ModelRecord
    reference_id: SubmissionId
    status: Status


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All checks; ``ok`` if every one holds."""

    ok: bool
    checks: tuple[Check, ...]


def audit(
    client: PdfedClient,
    *,
    fetch_and_verify: Callable[[SubmissionRecord], None] | None = None,
    from_block: int = 0,
) -> AuditReport:
    """Replay, rebuild, compare. ``fetch_and_verify`` raises PdfedError for a package that is missing or wrong.

    The chain is read at its head: audit a task at rest, or the comparison may see what the replay did not.
    """
    reducer = Reducer(client.params(), client.genesis())
    events = list(client.events.replay(from_block=from_block))
    for event in events:
        reducer.apply(event)
    state = reducer.state
    checks = [
        Check("events obey the rules", not state.faults, "; ".join(state.faults[:5]) or f"{len(events)} events"),
        *_money(client, state),
        *_accounts(client, state),
        *_models(client, state),
        *_votes(client, state),
    ]
    if fetch_and_verify is not None:
        checks += _packages(state, fetch_and_verify)
    return AuditReport(all(check.ok for check in checks), tuple(checks))


Value = TypeVar("Value")


def _equal(name: str, rebuilt: Value, on_chain: Value, said: Callable[[Value], str] = str) -> Check:
    same = rebuilt == on_chain
    return Check(name, same, said(rebuilt) if same else f"{said(rebuilt)} rebuilt, {said(on_chain)} on chain")


def _money(client: PdfedClient, state: TaskState) -> list[Check]:
    totals, balance = client.totals(), client.token_balance(client.task.vault)
    negative = [name for name, amount in state.ledgers().items() if amount < 0]
    owners, division = client.balances(), client.division()
    gains = sum(model.gain for model in state.models.values())
    divided = sum(model.divided for model in state.models.values())
    tokens = token_of(client).show
    return [
        Check(
            "solvency: the vault holds the sum of all ledgers",
            state.held <= balance,
            f"{tokens(state.held)} of {tokens(balance)}",
        ),
        _equal("the ledgers together", state.held, totals.held, tokens),
        _equal("received less paid out is what is held", state.received - state.paid_out, state.held, tokens),
        Check("no ledger is below zero", not negative, ", ".join(negative[:3]) or f"{len(state.ledgers())} ledgers"),
        _equal("escrow", state.escrow, totals.escrow, tokens),
        _equal("treasury", state.treasury, totals.treasury, tokens),
        _equal("funds, commons and commitments", state.funds + state.commons + state.committed, state.treasury, tokens),
        _equal("funds of the sponsor", state.funds, owners.unreleased + owners.allowance, tokens),
        _equal("commons", state.commons, owners.commons, tokens),
        _equal("committed to models", state.committed, owners.committed, tokens),
        _equal("gains of all best models", gains, division.grains, lambda grains: f"{grains} grains"),
        _equal("commons divided", divided, division.divided, tokens),
    ]


def _accounts(client: PdfedClient, state: TaskState) -> list[Check]:
    addresses = list(state.nodes)
    accounts = client.many([client.calls.account(address) for address in addresses])
    wrong = []
    for address, account in zip(addresses, accounts, strict=True):
        node = state.nodes[address]
        if any(getattr(node, name) != getattr(account, name) for name in NodeState.__slots__):
            wrong.append(address)
    histories = client.many([client.calls.history(address) for address in addresses])
    kept = [state.histories.get(address, (0, 0)) for address in addresses]
    return [
        Check("accounts", not wrong, ", ".join(wrong[:3]) or f"{len(addresses)} nodes"),
        Check("voters' histories", kept == histories, f"{sum(seen for _, seen in kept)} votes"),
    ]


def _models(client: PdfedClient, state: TaskState) -> list[Check]:
    views = client.submissions()
    wrong, cycles = [], []
    for view in views:
        model = state.models.get(view.id)
        if model is None or (view.id and not _same_model(model, view.submission)):
            wrong.append(view.id)
            continue
        declared = () if model.record is None else model.record.parents
        if (model.pending, model.owed, declared) != (view.pending, view.owed, view.parents):
            wrong.append(view.id)
        ancestors = [model.reference_id, *(parent.id for parent in declared)] if view.id else []
        cycles += [view.id for ancestor in ancestors if ancestor >= view.id]
    best, trend, paused = client.best(), client.trend(), client.many([client.calls.paused_until()])[0]
    return [
        _equal("number of submissions", len(state.models), len(views)),
        Check("submissions", not wrong, f"differ: {wrong[:5]}" if wrong else f"{len(views)} ids"),
        Check("lineage is acyclic", not cycles, f"{cycles[:5]}" if cycles else "every ancestor is earlier"),
        _equal(
            "best model",
            (state.best, state.models[state.best].level),
            (best.id, best.level),
            lambda found: f"#{found[0]}, level {found[1]}",
        ),
        _equal(
            "threshold, majority rate and running weight",
            (state.tau, state.q, state.activity),
            (trend.tau, trend.q, trend.activity),
            lambda found: f"τ = {found[0]}, q = {found[1] / 2**24:.4f}, Q = {found[2] / 2**16:.2f}",
        ),
        _shares(client, state),
        _equal("closed", state.closed, client.closed(), lambda closed: "yes" if closed else "no"),
        _equal(
            "reservations paused until", state.paused_until, paused, lambda until: _time(until) if until else "never"
        ),
    ]


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ")


def _same_model(model: ModelState, found: Submission) -> bool:
    kept = model.reservation if model.record is None else record_hash(model.record)
    weights = bytes(32) if model.record is None else model.record.digests.weights_digest
    if (kept, weights) != (found.record_hash, found.weights_digest):
        return False
    parts = (found.terms, found.result, found.standing)
    return all(getattr(model, part.name) == getattr(whole, part.name) for whole in parts for part in fields(whole))


def _shares(client: PdfedClient, state: TaskState) -> Check:
    keys = [(number, source) for number, model in state.models.items() for source in model.shares]
    found = client.many([client.calls.share_of(number, source) for number, source in keys])
    kept = [state.models[number].shares[source] for number, source in keys]
    same = [(a.above, a.held) == (b.above, b.held) for a, b in zip(kept, found, strict=True)]
    wrong = [key for key, right in zip(keys, same, strict=True) if not right]
    return Check("shares of earnings", not wrong, f"{wrong[:3]}" if wrong else f"{len(keys)} shares")


def _votes(client: PdfedClient, state: TaskState) -> list[Check]:
    keys = [(number, voter) for number, model in state.models.items() for voter in model.votes]
    found = client.many([client.calls.vote_of(number, voter) for number, voter in keys])
    wrong = []
    for (number, voter), vote in zip(keys, found, strict=True):
        kept = state.models[number].votes[voter]
        if kept.settled:  # settling forgets a vote
            if vote.exists:
                wrong.append(f"{voter} on {number}")
            continue
        shown = (kept.weight, kept.rate, kept.improvement is not None)
        same = shown == (vote.weight, vote.rate, vote.revealed)
        if kept.improvement is not None:
            same &= kept.improvement == vote.improvement
        if not same or not opens(vote, kept.commitment):
            wrong.append(f"{voter} on {number}")
    return [Check("votes", not wrong, ", ".join(wrong[:3]) or f"{len(keys)} votes")]


def _packages(state: TaskState, fetch_and_verify: Callable[[SubmissionRecord], None]) -> list[Check]:
    checks = []
    for number, model in state.models.items():
        if model.record is None:
            continue
        known = SubmissionRecord(
            SubmissionId(number), model.author, model.record, SubmissionId(model.reference_id), model.status
        )
        try:
            fetch_and_verify(known)
        except ChainError:
            raise
        except PdfedError as error:
            checks.append(Check(f"package of submission {number}", False, error.message))
        else:
            checks.append(Check(f"package of submission {number}", True, "fetched and verified"))
    return checks
