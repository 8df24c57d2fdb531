"""What ``pdfed node status`` shows: money, windows, votes, and what was earned and lost and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pdfed_sdk.cli.output import emit, out, show_table
from pdfed_sdk.cli.sending import AMOUNTS

if TYPE_CHECKING:
    from pdfed_sdk.audit.results import Cast, Results
    from pdfed_sdk.chain.client import PdfedClient
    from pdfed_sdk.chain.money import Token
    from pdfed_sdk.types import Address


def show_status(client: PdfedClient, node: str, unlocked: bool, last: int, as_json: bool) -> None:
    """``last``: how many results and votes are listed; sums are of all."""
    from pdfed_sdk.audit.results import results
    from pdfed_sdk.chain.money import token_of
    from pdfed_sdk.chain.reads import address
    from pdfed_sdk.types import Role

    named = address(node, "node")
    account, found = client.account(named), results(client, named)
    data = {
        "node": named,
        "registered": bool(account.roles),
        **asdict(account),
        "roles": [str(role.name).lower() for role in Role if account.roles & role],
        "weight": client.weight(named),
        "tokens": client.token_balance(named),
        "gas": client.native_balance(named),
        "now": client.now(),
        **windows(client, named, unlocked, votes=bool(account.roles & Role.VALIDATOR)),
        "votes": [asdict(vote) for vote in found.votes[-last:]],
        "earned": found.earned,
        "lost": found.lost,
        "results": [asdict(entry) for entry in found.entries[-last:]],
    }
    token = token_of(client)
    emit(data, as_json, lambda: show(data, found, last, token))


def windows(client: PdfedClient, node: Address, unlocked: bool, *, votes: bool) -> dict[str, list[dict[str, Any]]]:
    """Submissions that the node can still vote on, if it ``votes``, and its sealed votes that can still be opened."""
    from pdfed_sdk.types import Status

    states = {vote.id: vote.state.name.lower() for vote in client.due()} if unlocked else {}
    now, due, sealed = client.now(), list[dict[str, Any]](), list[dict[str, Any]]()
    for view in client.submissions(client.next_to_finalize()):
        terms, limits = view.submission.terms, view.windows
        vote, waits = client.vote(view.id, node), votes and terms.author != node
        if waits and not vote.exists and terms.status is Status.OPEN and now < limits.commit_end:
            due.append({"id": view.id, "commit_end": limits.commit_end})
        if vote.exists and not vote.revealed and now < limits.reveal_end:
            limit = {"id": view.id, "reveal_start": limits.reveal_start, "reveal_end": limits.reveal_end}
            sealed.append({**limit, "state": states.get(view.id, "sealed")})
    return {"open": due, "sealed": sealed}


def show(data: dict[str, Any], found: Results, last: int, token: Token) -> None:
    from pdfed_sdk.chain.money import Token

    now, coin = data["now"], Token("of the chain's coin, for gas", 18)
    rows: list[tuple[str, Any]] = [("roles", " and ".join(data["roles"]) or "not registered")]
    rows += [("weight", f"{data['weight']} (whole minimum stakes)"), ("voting key", _key(data["voting_key"]))]
    rows += [("wallet", token.show(data["tokens"])), ("", coin.show(data["gas"]))]
    rows += [(name, token.show(value)) for name, value in data.items() if name in AMOUNTS]
    rows += [("earned", token.show(data["earned"])), ("lost", token.show(data["lost"]))]
    rows += [(f"to vote on #{one['id']}", f"within {one['commit_end'] - now} s") for one in data["open"]]
    for vote in data["sealed"]:
        opens = vote["reveal_start"] - now
        when = f"opens in {opens} s" if opens > 0 else f"open it within {vote['reveal_end'] - now} s"
        rows.append((f"vote on #{vote['id']}", f"{vote['state']}, {when}"))
    sealed = {vote["id"] for vote in data["sealed"]}
    rows += [(f"vote on #{vote.id}", vote_text(vote)) for vote in found.votes[-last:] if vote.id not in sealed]
    show_table(rows, title=f"node {data['node']}")
    if found.entries:
        lines = [(f"#{one.id}", signed(token, one.amount), one.told) for one in found.entries[-last:]]
        cut = f", the last {last} of {len(found.entries)}" if last < len(found.entries) else ""
        out.print()
        show_table(lines, ("model", "amount", "why"), f"earned and lost{cut}")


def _key(voting_key: str) -> str:
    return voting_key if int(voting_key, 16) else "none: the node's own"


def vote_text(vote: Cast) -> str:
    if vote.grains is None:
        return "never opened"
    return f"{vote.grains:+d} grains{', settled' if vote.settled else ''}"


def signed(token: Token, amount: int) -> str:
    return ("+" if amount > 0 else "") + token.show(amount)
