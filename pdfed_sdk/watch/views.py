"""The read model as JSON, one function a view. Pure: what they say follows from a state that holds still meanwhile.

Amounts are decimal strings of token units (they do not fit into a browser's numbers), times seconds since the epoch by
the chain's clock, levels and gains grains, rates parts of 1. No view grows with the task without a bound.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from heapq import nlargest, nsmallest
from itertools import islice
from typing import Any, Final

from pdfed_sdk.audit.flows import CREDITS, LOSSES, Flows
from pdfed_sdk.audit.rules import RATE, quantile, upper_median
from pdfed_sdk.audit.state import ModelState, NodeState, TaskState
from pdfed_sdk.buckets import GRAINS, HIGHEST, LOWEST, grains_of
from pdfed_sdk.chain.calls import TaskParams
from pdfed_sdk.types import BPS, GENESIS, Address, Role, Status
from pdfed_sdk.watch.chronicle import Line

Json = dict[str, Any]
NODES: Final = 100
VOTES: Final = 1_000
LATEST: Final = 50
POINTS: Final = 500
ANCESTORS: Final = 60
AROUND: Final = 24
"""Most nodes, votes, rows, points of a chart, and models of the graph, that one view holds."""


class Missing(KeyError):
    """There is no such submission, node or view."""


@dataclass(frozen=True, slots=True)
class About:
    """What views need beside the state: the task, its token and the names that this watcher was given."""

    task: str
    chain_id: int
    params: TaskParams
    symbol: str = "units"
    decimals: int = 0
    title: str = ""
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """A state at a block: what all views are made of. ``pictures``: ids of models whose samples can be shown."""

    about: About
    state: TaskState
    flows: Flows
    block: int
    now: int
    pictures: frozenset[int] = frozenset()
    tally: Tally = field(default_factory=lambda: Tally())


# --- what every view shares ------------------------------------------------------------------------------------------


def head(seen: Seen) -> Json:
    """Where the watcher stands, and the words every view needs."""
    about, params = seen.about, seen.about.params
    return {
        "block": seen.block,
        "time": seen.now,
        "task": about.task,
        "chain": about.chain_id,
        "title": about.title,
        "token": {"symbol": about.symbol, "decimals": about.decimals},
        "names": dict(about.names),
        "closed": seen.state.closed,
        "paused_until": seen.state.paused_until,
        "faults": len(seen.state.faults),
        "rules": {
            "kappa": params.kappa_bps / BPS,
            "least_step": params.min_step,
            "lineage": params.lineage_bps / BPS,
            "voters": params.min_voters,
            "tau": grains_of(seen.state.tau),
        },
    }


VOTED_DOWN: Final = "voted_down"


def standing(model: ModelState) -> str:
    """The status in the words of the page: a Final submission whose outcome is the lowest bucket is voted down."""
    if model.status is Status.FINAL and model.outcome == LOWEST:
        return VOTED_DOWN
    return Status(model.status).name.lower()


def row(seen: Seen, number: int) -> Json:
    """One submission in a list."""
    model, state = seen.state.models[number], seen.state
    return {
        "id": number,
        "author": model.author if number else "",
        "status": standing(model),
        "level": model.level if standing(model) == "final" else None,
        "gain": model.gain,
        "best": number == state.best,
        "sealed": len(model.votes),
        "opened": sum(vote.improvement is not None for vote in model.votes.values()),
        "reserved_at": model.reserved_at,
        "windows": windows(seen.about.params, model) if number else None,
        "picture": number in seen.pictures,
    }


def windows(params: TaskParams, model: ModelState) -> Json:
    """When each window of a submission ends (rule 2)."""
    start = model.reserved_at
    reveal = start + params.commit_window + params.reveal_gap
    return {
        "submit_end": start + params.submit_window,
        "commit_end": start + params.commit_window,
        "reveal_start": reveal,
        "reveal_end": reveal + params.reveal_window,
    }


def lines(found: Iterable[Line]) -> list[Json]:
    """Lines of the ledger."""
    return [{**asdict(line), "amount": None if line.amount is None else str(line.amount)} for line in found]


# --- federation ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """Counts over all submissions. Ids become terminal in order, so that those that are terminal are counted once."""

    state: TaskState | None = None
    counts: Counter[str] = field(default_factory=Counter)
    authored: Counter[Address] = field(default_factory=Counter)
    voted: Counter[Address] = field(default_factory=Counter)
    doubts: deque[tuple[int, int, float]] = field(default_factory=lambda: deque(maxlen=POINTS))
    """Of the newest Final models: id, time, and the share of the opened weight that voted the lowest bucket, which says
    that a model copies the voter's pictures or cannot be used."""
    after: int = 1
    """The first id that is not counted for good."""

    def of(self, state: TaskState) -> tuple[Counter[str], Counter[Address], Counter[Address], list[int]]:
        """Submissions by status, by author, votes by voter, and the ids that are open."""
        if state is not self.state:
            self.state, self.after = state, 1
            self.counts, self.authored, self.voted = Counter(), Counter(), Counter()
            self.doubts.clear()
        while self.after in state.models and state.models[self.after].status in (Status.FINAL, Status.VOID):
            model = state.models[self.after]
            _count(model, self.counts, self.authored, self.voted)
            if model.status is Status.FINAL:
                self.doubts.append((self.after, model.reserved_at, _doubted(model)))
            self.after += 1
        found = Counter(self.counts), Counter(self.authored), Counter(self.voted)
        open_now = []
        for number in range(self.after, len(state.models)):
            model = state.models[number]
            _count(model, *found)
            if model.status in (Status.RESERVED, Status.OPEN):
                open_now.append(number)
        return *found, open_now


def _count(model: ModelState, counts: Counter[str], authored: Counter[Address], voted: Counter[Address]) -> None:
    counts[standing(model)] += 1
    authored[model.author] += 1
    voted.update(model.votes.keys())


def _doubted(model: ModelState) -> float:
    opened = [vote for vote in model.votes.values() if vote.improvement is not None]
    whole = sum(vote.weight for vote in opened)
    return sum(vote.weight for vote in opened if vote.improvement == LOWEST) / whole if whole else 0.0


def federation(seen: Seen) -> Json:
    """Who is there, what is best, where it came from, what is open now."""
    state = seen.state
    found, authored, voted, open_now = seen.tally.of(state)
    counts = dict.fromkeys([*(status.name.lower() for status in Status if status), VOTED_DOWN], 0) | found
    ranked = nsmallest(NODES, state.nodes, key=lambda node: (-_held(state.nodes[node]), node))
    return {
        "head": head(seen),
        "best": row(seen, state.best),
        "counts": {**counts, "nodes": len(state.nodes)},
        "nodes": [
            {
                **node_row(seen, address),
                "submissions": authored[address],
                "votes": voted[address],
            }
            for address in ranked
        ],
        "levels": levels(state),
        "doubts": list(seen.tally.doubts),
        "open": [row(seen, number) for number in open_now[:LATEST]],
        "latest": [row(seen, number) for number in islice(reversed(state.models), LATEST)],
        "graph": graph(seen),
    }


def _held(node: NodeState) -> int:
    return node.stake + node.locked


def node_row(seen: Seen, address: Address) -> Json:
    """One node: what it has at stake, and what it gained and lost."""
    node, sums = seen.state.nodes.get(address, NodeState()), seen.flows.of(address)
    won, lost = (sum(sums.get(why, 0) for why in group) for group in (CREDITS, LOSSES))
    return {
        "address": address,
        "roles": [str(role.name).lower() for role in Role if node.roles & role],
        "stake": str(node.stake),
        "locked": str(node.locked),
        "unbonding": str(node.unbonding),
        "credit": str(node.credit),
        "earned": str(won),
        "lost": str(lost),
        "net": str(won - lost),
        "claimed": str(sums.get("claimed", 0)),
    }


def levels(state: TaskState) -> Json:
    """Levels of Final models by id: those that became best, and the newest others that were not voted down; at most
    ``POINTS`` of each."""
    final = [(number, model) for number, model in state.models.items() if model.status is Status.FINAL]
    best = [(number, model) for number, model in final if model.gain or number == GENESIS][-POINTS:]
    others = [
        (number, model)
        for number, model in final
        if not model.gain and number != GENESIS and standing(model) != VOTED_DOWN
    ][-POINTS:]
    return {
        "best": [[n, m.reserved_at, m.level, m.measured] for n, m in best],
        "others": [[n, m.reserved_at, m.level, m.measured] for n, m in others],
    }


def graph(seen: Seen) -> Json:
    """The best model's ancestors and the newest models, with the edges among them; ``left_out`` says how many not."""
    state = seen.state
    newest = islice((n for n in reversed(state.models) if state.models[n].record), AROUND)  # ids come in order
    chosen = {GENESIS, *newest, *ancestors(state, state.best)}
    edges = []
    for number in sorted(chosen):
        model = state.models[number]
        for parent in model.record.parents if model.record else ():
            if parent.id in chosen:
                edges.append({"from": parent.id, "to": number, "share": parent.weight_bps / BPS})
    return {
        "nodes": [row(seen, number) for number in sorted(chosen)],
        "edges": edges,
        "left_out": len(state.models) - len(chosen),
    }


def ancestors(state: TaskState, number: int) -> set[int]:
    """A model and its nearest ancestors by declared parents, at most ``ANCESTORS``."""
    found, waiting = {number}, deque([number])
    while waiting and len(found) < ANCESTORS:
        record = state.models[waiting.popleft()].record
        for parent in record.parents if record else ():
            if parent.id not in found and len(found) < ANCESTORS:
                found.add(parent.id)
                waiting.append(parent.id)
    return found


# --- submission ------------------------------------------------------------------------------------------------------


def submission(seen: Seen, number: int, told: Iterable[Line]) -> Json:
    """One submission: where it comes from, who voted what, what came of it and why. Missing if there is none."""
    if number not in seen.state.models:
        raise Missing(number)
    model, told = seen.state.models[number], list(told)
    record = model.record
    money = {line.address: str(line.amount) for line in told if line.event == "Settled" and line.address}
    return {
        "head": head(seen),
        **row(seen, number),
        "reference": model.reference_id,
        "parents": [
            {"share": parent.weight_bps / BPS, **row(seen, int(parent.id))}
            for parent in (record.parents if record else ())
        ],
        "children": [row(seen, child) for child in children(seen.state, number)],
        "digests": _digests(model),
        "bond": str(model.bond),
        "fee": str(model.fee + model.surcharge),
        "tau": grains_of(model.tau),
        "eligible": model.eligible,
        "measured": model.measured if model.status is Status.FINAL else None,
        "votes": [
            {
                "voter": voter,
                "weight": vote.weight,
                "opened": vote.improvement is not None,
                "grains": None if vote.improvement is None else grains_of(vote.improvement),
                "above": vote.improvement is not None and vote.improvement > model.tau,
                "usual": vote.rate / RATE,
                "settled": vote.settled,
                "money": money.get(voter),
            }
            for voter, vote in islice(model.votes.items(), VOTES)
        ],
        "histogram": histogram(model, seen.about.params),
        "lines": lines(told),
    }


def children(state: TaskState, number: int, limit: int = LATEST) -> list[int]:
    """The newest models that declare this one as a parent."""
    found: list[int] = []
    for child in reversed(state.models):
        record = state.models[child].record
        if child <= number or len(found) == limit:
            break
        if record and any(parent.id == number for parent in record.parents):
            found.append(child)
    return found


def _digests(model: ModelState) -> Json | None:
    if model.record is None:
        return None
    digests = model.record.digests
    return {
        "package": "0x" + digests.package_digest.hex(),
        "weights": "0x" + digests.weights_digest.hex(),
        "manifest": "0x" + digests.manifest_digest.hex(),
    }


def histogram(model: ModelState, params: TaskParams) -> Json:
    """Weight of the opened votes in each bucket, with the κ-quantile and the median; so far, while it is open."""
    opened = [(vote.improvement, vote.weight) for vote in model.votes.values() if vote.improvement is not None]
    weights = dict.fromkeys(range(LOWEST, HIGHEST + 1), 0)
    for index, weight in opened:
        weights[index] += weight
    return {
        "grains": list(GRAINS),
        "weights": list(weights.values()),
        "quantile": quantile(opened, params.kappa_bps) - LOWEST if opened else None,
        "median": upper_median(opened) - LOWEST if opened else None,
    }


# --- money, one node -------------------------------------------------------------------------------------------------


def money(seen: Seen, told: Iterable[Line]) -> Json:
    """The pool and where its money went: totals, flows, each node's sums, and the newest lines with their reasons."""
    state, flows = seen.state, seen.flows
    everyone = {why: sum(sums.get(why, 0) for sums in flows.nodes.values()) for why in (*CREDITS, *LOSSES, "claimed")}
    won = {node: sum(flows.of(node).get(why, 0) for why in CREDITS) for node in state.nodes}
    ranked = nlargest(NODES, state.nodes, key=won.__getitem__)
    stakes = sum(node.stake + node.locked + node.unbonding for node in state.nodes.values())
    return {
        "head": head(seen),
        "held": str(state.held),
        "parts": {
            "funds": str(state.funds),
            "commons": str(state.commons),
            "committed": str(state.committed),
            "escrow": str(state.escrow),
            "stakes": str(stakes),
            "credits": str(sum(node.credit for node in state.nodes.values())),
        },
        "received": str(state.received),
        "paid_out": str(state.paid_out),
        "task": {why: str(amount) for why, amount in flows.task.items()},
        "everyone": {why: str(amount) for why, amount in everyone.items()},
        "nodes": [
            {**node_row(seen, address), "why": {why: str(amount) for why, amount in flows.of(address).items()}}
            for address in ranked
        ],
        "accounts": len(state.nodes),
        "lines": lines(told),
    }


def node(seen: Seen, address: Address, told: Iterable[Line], earned: Iterable[tuple[int, int]] = ()) -> Json:
    """One node's ledger, newest first, and its result over time. Missing if no event names it."""
    state = seen.state
    if address not in state.nodes:
        raise Missing(address)
    return {
        "head": head(seen),
        **node_row(seen, address),
        "why": {why: str(amount) for why, amount in seen.flows.of(address).items()},
        "submissions": [row(seen, number) for number in authored(state, address)],
        "due": due(seen, address),
        "earned_over": [[time, str(net)] for time, net in earned],
        "lines": lines(told),
    }


def authored(state: TaskState, address: Address, limit: int = LATEST) -> list[int]:
    """The newest submissions of an author."""
    return list(
        islice(
            (number for number in reversed(state.models) if number and state.models[number].author == address), limit
        )
    )


def due(seen: Seen, address: Address) -> list[Json]:
    """Sealed votes of a node that are not opened yet, with their windows."""
    found: list[Json] = []
    for number, model in seen.state.models.items():
        vote = model.votes.get(address)
        if vote and model.status is Status.OPEN and vote.improvement is None:
            ends = windows(seen.about.params, model)
            found.append({"id": number, "weight": vote.weight, "at_stake": str(vote.bond), **ends})
    return found[:LATEST]
