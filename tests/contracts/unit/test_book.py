"""ScoreBook: sealed votes, windows, tally, quorum, finalise in order, settle."""

from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak
from support.reference import quantile
from support.task import FINAL, OPEN, UNIT, VOID, digest


@pytest.fixture
def id(task: Any, nodes: list[Any]) -> int:
    """An open submission of the first node."""
    return int(task.open(nodes[0]))


def test_a_commitment_freezes_weight_and_locks_the_bond(task: Any, nodes: list[Any], id: int) -> None:
    voter = nodes[1]
    receipt = task.commit(voter, id, 3)
    event = receipt.events["Committed"]
    commitment = bytes(task.book.hashVote(task.ballots[id, str(voter)]))
    assert (event["voter"], event["weight"], event["bond"]) == (voter, 10, UNIT)
    assert bytes(event["commitment"]) == commitment
    vote = task.book.voteOf(id, voter)
    assert (bytes(vote["commitment"]), vote["weight"], vote["rate"]) == (commitment[:24], 10, 2**23)
    assert (vote["revealed"], vote["settled"]) == (False, False)
    account = task.account(voter)
    assert (account["stake"], account["locked"]) == (9 * UNIT, UNIT)
    task.send(task.vault.requestUnstake, 9 * UNIT, sender=voter)
    assert task.book.voteOf(id, voter)["weight"] == 10


def test_who_may_commit(task: Any, nodes: list[Any], id: int, chain: Any) -> None:
    author, voter, key, *_ = nodes
    commit, c = task.book.commit, b"\1" * 32
    task.reverts("BookZeroCommitment", call=commit, args=(voter, id, bytes(32)), sender=voter)
    task.reverts("BookZeroCommitment", call=commit, args=(voter, id, bytes(31) + b"\1"), sender=voter)
    task.reverts("RegistryUnknownId", 9, call=commit, args=(voter, 9, c), sender=voter)
    task.reverts("BookNotOpen", 0, call=commit, args=(voter, 0, c), sender=voter)
    task.reverts("BookAuthorCannotVote", id, author, call=commit, args=(author, id, c), sender=author)
    task.reverts("VaultNotVoter", voter, key, call=commit, args=(voter, id, c), sender=key)
    outsider = chain.accounts[60]
    task.reverts("BookNoWeight", id, outsider, call=commit, args=(outsider, id, c), sender=outsider)
    reserved = task.reserve(nodes[3])
    task.reverts("BookNotOpen", reserved, call=commit, args=(voter, reserved, c), sender=voter)
    task.send(task.vault.setVotingKey, key, sender=voter)
    task.commit(voter, id, 1, sender=key)
    task.reverts("BookAlreadyCommitted", id, voter, call=commit, args=(voter, id, b"\2" * 32), sender=voter)


def test_an_author_does_not_vote_through_its_voting_key(task: Any, nodes: list[Any], id: int) -> None:
    """Not by a call of the key, nor in a batch; and the key's own node may vote, as it is another."""
    author, key = nodes[:2]
    task.send(task.vault.setVotingKey, key, sender=author)
    commit, c = task.book.commit, b"\1" * 32
    for sender in (author, key):
        task.reverts("BookAuthorCannotVote", id, author, call=commit, args=(author, id, c), sender=sender)
    receipt = task.send(task.book.commitMany, author, [id], [c], sender=key)
    assert "Committed" not in receipt.events
    assert (
        receipt.events["CommitSkipped"]["reason"]
        == "0x" + keccak(text="BookAuthorCannotVote(uint256,address)")[:4].hex()
    )
    task.commit(key, id, 3)


def test_a_forfeit_lowers_the_weight_of_all(task: Any, nodes: list[Any], id: int, chain: Any) -> None:
    """What the silent lose neither votes nor counts as eligible any more."""
    task.score(id, dict.fromkeys(nodes[1:], 3), silent=nodes[3:])
    assert [task.vault.weightNow(n) for n in nodes[1:]] == [10, 10, 9, 9]
    own = [task.vault.weightNow(n) for n in nodes]
    assert task.vault.totalWeightAt(chain.now) == sum(own)
    chain.travel(chain.now + task.params["warmUp"])
    assert task.submission(task.reserve(nodes[1]))["eligible"] == sum(own) - own[1]


def test_stake_counts_when_it_is_warm(task: Any, nodes: list[Any], chain: Any) -> None:
    late, cold = chain.accounts[60:62]
    task.join(late)
    joined = chain.now
    chain.travel(joined + 1)
    task.join(cold)
    id = task.reserve(nodes[0], at=joined + task.params["warmUp"])
    task.submit(nodes[0], id)
    assert task.submission(id)["eligible"] == 50
    task.commit(late, id, 1)
    args = (cold, id, b"\1" * 32)
    task.reverts("BookNoWeight", id, cold, call=task.book.commit, args=args, sender=cold)


def test_weight_is_the_lesser_of_then_and_now(task: Any, nodes: list[Any], id: int) -> None:
    richer, poorer = nodes[1:3]
    task.pay(richer, 10 * UNIT)
    task.send(task.vault.deposit, 10 * UNIT, sender=richer)
    task.send(task.vault.requestUnstake, 6 * UNIT, sender=poorer)
    task.commit(richer, id, 1)
    task.commit(poorer, id, 1)
    assert [task.book.voteOf(id, v)["weight"] for v in (richer, poorer)] == [10, 4]


def test_a_bond_needs_free_stake(task: Any, nodes: list[Any], chain: Any) -> None:
    small = task.join(chain.accounts[60], stake=5 * UNIT)
    chain.travel(chain.now + 10)
    first = task.open(small)  # bond 2 and fee 3: nothing is free, two units are still exposed
    other = task.open(nodes[0])
    call, args = task.book.commit, (small, other, b"\1" * 32)
    task.reverts("VaultInsufficientStake", small, 0, UNIT // 5, call=call, args=args, sender=small)
    assert task.submission(first)["status"] == OPEN


def test_commit_window_boundaries(task: Any, nodes: list[Any], id: int) -> None:
    voter, end = nodes[1], task.windows(id)["commitEnd"]
    commit, args = task.book.commit, (voter, id, b"\1" * 32)
    task.chain.simulate(commit, *args, sender=voter, at=end - 1)
    for late in (end, end + 1):
        task.reverts("BookCommitOver", id, end, late, call=commit, args=args, sender=voter, at=late)
    task.commit(voter, id, 2, at=end - 1)


def test_reveal_window_boundaries(task: Any, nodes: list[Any], id: int) -> None:
    voter = nodes[1]
    task.commit(voter, id, 2)
    w = task.windows(id)
    start, end = w["revealStart"], w["revealEnd"]
    call, args = task.book.reveal, (task.ballots[id, str(voter)],)
    for wrong in (w["commitEnd"] - 1, w["commitEnd"], start - 1, end, end + 1):
        task.reverts("BookNotRevealTime", id, start, end, wrong, call=call, args=args, sender=voter, at=wrong)
    for right in (start, start + 1, end - 1):
        task.chain.simulate(call, *args, sender=voter, at=right)
    task.reveal(voter, id, at=end - 1)


def test_an_opening_must_match_in_every_field(task: Any, nodes: list[Any], id: int) -> None:
    voter, other = nodes[1:3]
    second = task.open(nodes[4])
    task.commit(voter, id, 2)
    task.to_reveal(id)
    v = task.ballots[id, str(voter)]
    reveal = task.book.reveal
    task.reverts("BookNoCommitment", id, other, call=reveal, args=((str(other), *v[1:]),), sender=voter)
    task.reverts("BookNoCommitment", second, voter, call=reveal, args=((v[0], second, *v[2:]),), sender=voter)
    for field, value in ((3, 3), (4, digest("other")), (5, digest("other"))):
        wrong = (*v[:field], value, *v[field + 1 :])
        task.reverts("BookCommitmentMismatch", call=reveal, args=(wrong,), sender=voter)
    for outside in (-9, 24, 127, -128):
        task.reverts("BookImprovementOutOfRange", outside, call=reveal, args=((*v[:3], outside, *v[4:]),), sender=voter)
    task.reverts("BookZeroEvidence", call=reveal, args=((*v[:4], bytes(32), v[5]),), sender=voter)
    task.reveal(voter, id)
    task.reverts("BookAlreadyRevealed", id, voter, call=reveal, args=(v,), sender=voter)
    vote = task.book.voteOf(id, voter)
    assert (vote["improvement"], vote["revealed"]) == (2, True)


def test_a_vote_for_other_weights_cannot_be_opened(task: Any, nodes: list[Any], id: int) -> None:
    voter = nodes[1]
    vote = task.vote(voter, id, 2)
    wrong = (*vote[:2], digest("other weights"), *vote[3:])
    task.send(task.book.commit, voter, id, task.book.hashVote(wrong), sender=voter)
    task.to_reveal(id)
    for opening in (wrong, vote):
        task.reverts("BookCommitmentMismatch", call=task.book.reveal, args=(opening,), sender=voter)


def test_anyone_may_reveal_for_a_voter(task: Any, nodes: list[Any], id: int, chain: Any) -> None:
    task.commit(nodes[1], id, 2)
    task.to_reveal(id)
    task.reveal(nodes[1], id, sender=chain.accounts[70])
    assert task.book.voteOf(id, nodes[1])["revealed"]


@pytest.mark.parametrize("improvement", [-8, -7, -1, 0, 1, 22, 23])
def test_every_bucket_is_counted_where_it_belongs(task: Any, nodes: list[Any], id: int, improvement: int) -> None:
    task.commit(nodes[1], id, improvement)
    task.to_reveal(id)
    task.reveal(nodes[1], id)
    histogram = [int(w) for w in task.book.histogram(id)]
    assert histogram == [10 if b == improvement + 8 else 0 for b in range(32)]
    assert tuple(task.book.tally(id)) == (10, 10 if improvement > 0 else 0, 1)
    assert tuple(task.book.history(nodes[1])) == (int(improvement > 0), int(improvement > -8))


@pytest.mark.parametrize(("yes", "improvement"), [(65_535, 4), (40_001, 0)])
def test_a_full_history_is_halved_before_it_grows(
    task: Any, nodes: list[Any], id: int, chain: Any, yes: int, improvement: int
) -> None:
    """The node's slot, from the low end: free and locked of 88 bits, since 40, roles 8, yes 16, seen 16."""
    task.commit(nodes[1], id, improvement)
    slot = "0x" + keccak(encode(["address", "uint256"], [str(nodes[1]), 0])).hex()
    word = int(chain.rpc("eth_getStorageAt", str(task.vault), slot, "latest"), 16)
    before = tuple(task.account(nodes[1]))
    chain.rpc("anvil_setStorageAt", str(task.vault), slot, f"0x{word % 2**224 + (yes << 224) + (65_535 << 240):064x}")
    assert tuple(task.book.history(nodes[1])) == (yes, 65_535)
    task.to_reveal(id)
    task.reveal(nodes[1], id)
    assert tuple(task.book.history(nodes[1])) == (yes // 2 + (improvement > 0), 32_768)
    assert tuple(task.account(nodes[1])) == before


def test_finalise_in_order_and_on_time(task: Any, nodes: list[Any], id: int) -> None:
    second = task.open(nodes[1])
    end = task.windows(id)["revealEnd"]
    finalize = task.book.finalize
    task.reverts("BookTooEarly", id, end, end - 1, call=finalize, args=(id,), sender=nodes[0], at=end - 1)
    for early in (0, second, 99):
        task.reverts("BookNotNext", early, id, call=finalize, args=(early,), sender=nodes[0], at=end + 5_000)
    task.chain.simulate(finalize, id, sender=nodes[0], at=end)
    task.to_end(second)
    task.finalize(id)
    task.reverts("BookNotNext", id, second, call=finalize, args=(id,), sender=nodes[0])
    task.finalize(second)
    task.reverts("BookUnknownId", 3, call=finalize, args=(3,), sender=nodes[0])
    assert task.registry.nextToFinalize() == 3


def test_finalise_many_stops_at_the_first_that_is_not_due(task: Any, nodes: list[Any], id: int, chain: Any) -> None:
    task.reserve(nodes[1])
    third = task.reserve(nodes[2], at=task.windows(2)["revealEnd"] - 1)
    chain.travel(task.windows(2)["revealEnd"])
    task.send(task.book.finalizeMany, 1, sender=nodes[0])
    assert task.registry.nextToFinalize() == 2
    task.send(task.book.finalizeMany, 10, sender=nodes[0])
    assert task.registry.nextToFinalize() == third
    task.send(task.book.finalizeMany, 10, sender=nodes[0])
    assert task.registry.nextToFinalize() == third
    task.to_end(third)
    task.send(task.book.finalizeMany, 10, sender=nodes[0])
    assert task.registry.nextToFinalize() == 4


@pytest.mark.parametrize(
    "votes", [(1, 2, 3, 4), (-8, -8, 5, 5), (23, 23, 23, -8), (0, 0, 1, 1), (-8, -8, -8, -8), (4, 1, 3, 3)]
)
def test_outcome_and_median_equal_the_reference(task: Any, nodes: list[Any], id: int, votes: tuple[int, ...]) -> None:
    task.send(task.vault.requestUnstake, 7 * UNIT, sender=nodes[1])
    weights = [3, 10, 10, 10]
    task.score(id, dict(zip(nodes[1:], votes, strict=True)))
    s = task.submission(id)
    assert s["outcome"] == quantile(votes, weights, 3_333)
    assert s["median"] == quantile(votes, weights, 5_000)
    assert (s["revealedWeight"], s["level"]) == (33, s["outcome"])
    assert s["yesWeight"] == sum(w for w, v in zip(weights, votes, strict=True) if v > 0)


def test_tau_and_rate_follow_the_median(task: Any, nodes: list[Any]) -> None:
    q, tau = 5 * 10**17, 0
    for number, improvement in enumerate((4, 4, -8, -5, -5, -5, -5)):
        author = nodes[number % 5]
        id = task.open(author)
        assert (task.submission(id)["tau"], task.submission(id)["q"]) == (tau, q)
        task.score(id, {n: improvement for n in nodes if n != author})
        if improvement > -8:
            yes = improvement > tau
            q = q + (10**18 - q) // 50 if yes else q - q // 50
            tau = max(-2, tau + (1 if improvement > tau else -1 if improvement < tau else 0))
        assert tuple(task.book.tauAndRate()) == (tau, q)


def test_quorum_of_voters(task: Any, nodes: list[Any], id: int) -> None:
    task.score(id, dict.fromkeys(nodes[1:3], 5))
    assert task.submission(id)["status"] == VOID
    second = task.open(nodes[0])
    task.score(second, dict.fromkeys(nodes[1:4], 5))
    assert task.submission(second)["status"] == FINAL


@pytest.mark.parametrize(("stake", "status"), [(9, VOID), (10, FINAL)])
def test_quorum_of_weight(task: Any, nodes: list[Any], chain: Any, stake: int, status: int) -> None:
    small = [task.join(chain.accounts[60 + i], stake=s * UNIT) for i, s in enumerate((5, 5, stake))]
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])  # eligible 40 + 10 + stake
    task.score(id, dict.fromkeys(small, 5))
    eligible = task.submission(id)["eligible"]
    assert eligible == 50 + stake
    assert ((10 + stake) * 10_000 >= 3_333 * eligible) == (status == FINAL)
    assert task.submission(id)["status"] == status


def test_never_submitted_forfeits_the_bond_and_returns_the_fee(task: Any, nodes: list[Any]) -> None:
    author = nodes[0]
    id = task.reserve(author)
    pool = task.vault.totals()[1]
    task.to_end(id)
    event = task.finalize(id).events["SubmissionSettled"]
    assert (event["bondReleased"], event["bondForfeited"], event["feeReturned"], event["feeToPool"]) == (
        0,
        2 * UNIT,
        3 * UNIT,
        0,
    )
    account = task.account(author)
    assert (account["stake"], account["locked"], account["credit"]) == (5 * UNIT, 0, 3 * UNIT)
    assert tuple(task.vault.totals()) == (0, pool + 2 * UNIT)
    task.solvent(nodes)


def test_nobody_revealed_returns_bond_and_fee(task: Any, nodes: list[Any], id: int) -> None:
    task.commit(nodes[1], id, 3)
    task.to_end(id)
    task.finalize(id)
    account = task.account(nodes[0])
    assert (account["stake"], account["locked"], account["credit"]) == (7 * UNIT, 0, 3 * UNIT)
    task.settle(id, [nodes[1]])
    assert task.account(nodes[1])["stake"] == 9 * UNIT  # silence costs the bond, in a Void id too
    task.solvent(nodes)


def test_void_with_reveals_sends_the_fee_to_the_pool(task: Any, nodes: list[Any], id: int) -> None:
    pool = task.vault.totals()[1]
    task.score(id, dict.fromkeys(nodes[1:4], 3), silent=nodes[3:4])
    assert task.submission(id)["status"] == VOID
    assert tuple(task.vault.totals()) == (0, pool + 3 * UNIT + UNIT)
    assert [task.account(n)["stake"] for n in nodes[1:4]] == [10 * UNIT, 10 * UNIT, 9 * UNIT]
    task.solvent(nodes)


def test_settling_is_for_terminal_ids_and_happens_once(task: Any, nodes: list[Any], id: int) -> None:
    call = task.book.settle
    task.reverts("RegistryUnknownId", 9, call=call, args=(9, []), sender=nodes[0])
    task.reverts("BookNotTerminal", id, call=call, args=(id, [str(nodes[1])]), sender=nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 3), settle=False)
    receipt = task.settle(id, [nodes[1], nodes[0], nodes[1]])
    assert [e["voter"] for e in receipt.events["VoteSettled"]] == [nodes[1]]
    assert [e["voter"] for e in receipt.events["SettleSkipped"]] == [nodes[0], nodes[1]]
    before = task.account(nodes[1])
    task.settle(id, nodes[1:])
    assert tuple(task.account(nodes[1])) == tuple(before)
    assert task.book.voteOf(id, nodes[1])["settled"]
    task.solvent(nodes)


def test_the_fee_is_sliced_by_weight_and_what_is_not_earned_goes_to_the_pool(
    task: Any, nodes: list[Any], id: int
) -> None:
    task.send(task.vault.requestUnstake, 3 * UNIT, sender=nodes[1])
    pool = task.vault.totals()[1]
    receipt = task.score(id, dict.fromkeys(nodes[1:], 3))
    weight = 37
    dust = 3 * UNIT % weight
    assert receipt.events["SubmissionSettled"]["feeToPool"] == dust > 0
    paid = [3 * UNIT // weight * w // 4 for w in (7, 10, 10, 10)]  # first votes: f = q = 1/2
    assert [task.account(n)["credit"] for n in nodes[1:]] == paid
    assert task.vault.totals()[0] == 0
    assert task.vault.totals()[1] == pool + 3 * UNIT - sum(paid)
    task.solvent(nodes)
