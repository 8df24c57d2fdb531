"""ScoreBook: sealed votes, windows, tally, quorum, finalise in order, settle."""

from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak
from support.reference import ONE, next_activity, next_q, next_tau, quantile, quorum, upper_median
from support.task import FINAL, OPEN, TRAINER, UNIT, VOID, Task, digest, settlements

BOND = UNIT // 5  # of a vote of ten units


@pytest.fixture
def id(task: Any, nodes: list[Any]) -> int:
    """An open submission of the first node."""
    return int(task.open(nodes[0]))


def test_a_commitment_freezes_weight_and_locks_the_bond(task: Any, nodes: list[Any], id: int) -> None:
    voter = nodes[1]
    receipt = task.commit(voter, id, 3)
    event = receipt.events["Committed"]
    commitment = bytes(task.book.hashVote(task.ballots[id, str(voter)]))
    assert (event["voter"], event["weight"], receipt.events["VoteBonded"]["bond"]) == (voter, 10, BOND)
    assert bytes(event["commitment"]) == commitment
    vote = task.book.voteOf(id, voter)
    assert (bytes(vote["commitment"]), vote["weight"], vote["rate"]) == (commitment[:24], 10, 2**23)
    assert not vote["revealed"]
    account = task.account(voter)
    assert (account["stake"], account["locked"]) == (10 * UNIT - BOND, BOND)
    task.send(task.vault.requestUnstake, 10 * UNIT - BOND, sender=voter)
    assert task.book.voteOf(id, voter)["weight"] == 10


def test_who_may_commit(task: Any, nodes: list[Any], id: int, chain: Any) -> None:
    author, voter, key, *_ = nodes
    c, trainer, small, outsider = b"\1" * 32, *chain.accounts[60:63]

    def refused(error: str, *values: Any, voter: Any = voter, of: int = id, c: bytes = c, sender: Any = None) -> None:
        named = task.sealed(of, c) if of < 9 else (of, c, c)
        task.reverts(error, *values, call=task.book.commit, args=(voter, named), sender=sender or voter)

    refused("BookZeroCommitment", c=bytes(32))
    refused("BookZeroCommitment", c=bytes(31) + b"\1")
    refused("RegistryUnknownId", 9, of=9)
    refused("BookNotOpen", 0, of=0)
    refused("BookAuthorCannotVote", id, author, voter=author)
    refused("VaultNotVoter", voter, key, sender=key)
    refused("VaultNotValidator", outsider, voter=outsider)
    task.join(trainer, roles=TRAINER)
    refused("VaultNotValidator", trainer, voter=trainer)
    task.join(small, stake=UNIT - 1)
    refused("BookNoWeight", id, small, voter=small)
    refused("BookNotOpen", of=task.reserve(nodes[3]))
    task.send(task.vault.setVotingKey, key, sender=voter)
    task.commit(voter, id, 1, sender=key)
    refused("BookAlreadyCommitted", id, voter, c=b"\2" * 32)


def test_a_commitment_names_the_record_it_is_about(task: Any, nodes: list[Any], id: int) -> None:
    voter, c = nodes[1], b"\1" * 32
    other = task.open(nodes[2])
    (_, mine, _), (_, wrong, _) = task.sealed(id, c), task.sealed(other, c)
    for named in (wrong, bytes(32)):
        args = (voter, (id, named, c))
        task.reverts(
            "BookRecordMismatch", id, bytes(named), bytes(mine), call=task.book.commit, args=args, sender=voter
        )


def test_an_author_does_not_vote_through_its_voting_key(task: Any, nodes: list[Any], id: int) -> None:
    """Not by a call of the key, nor in a batch; and the key's own node may vote, as it is another."""
    author, key = nodes[:2]
    task.send(task.vault.setVotingKey, key, sender=author)
    sealed = task.sealed(id, b"\1" * 32)
    for sender in (author, key):
        task.reverts("BookAuthorCannotVote", id, author, call=task.book.commit, args=(author, sealed), sender=sender)
    receipt = task.send(task.book.commitMany, author, [sealed], sender=key)
    assert "Committed" not in receipt.events
    assert (
        receipt.events["CommitSkipped"]["reason"]
        == "0x" + keccak(text="BookAuthorCannotVote(uint256,address)")[:4].hex()
    )
    task.commit(key, id, 3)


def test_a_forfeit_lowers_the_weight_of_all(task: Any, nodes: list[Any], id: int, chain: Any) -> None:
    """What the silent lose neither votes nor counts as eligible any more."""
    task.score(id, dict.fromkeys(nodes[1:], 3), silent=nodes[3:])
    assert [task.vault.weightNow(n) for n in nodes[1:]] == [10, 10, 9, 9]  # a bond of 0.2 stakes costs one unit
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
    args = (cold, task.sealed(id, b"\1" * 32))
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
    call, args = task.book.commit, (small, task.sealed(other, b"\1" * 32))
    task.reverts("VaultInsufficientStake", small, 0, UNIT // 25, call=call, args=args, sender=small)
    assert task.submission(first)["status"] == OPEN


def test_commit_window_boundaries(task: Any, nodes: list[Any], id: int) -> None:
    voter, end = nodes[1], task.windows(id)["commitEnd"]
    commit, args = task.book.commit, (voter, task.sealed(id, b"\1" * 32))
    task.chain.simulate(commit, *args, sender=voter, at=end - 1)
    for late in (end, end + 1):
        task.reverts("BookCommitOver", id, end, late, call=commit, args=args, sender=voter, at=late)
    task.commit(voter, id, 2, at=end - 1)


def test_reveal_window_boundaries(task: Any, nodes: list[Any], id: int) -> None:
    voter = nodes[1]
    task.commit(voter, id, 2)
    w = task.windows(id)
    start, end = w["revealStart"], w["revealEnd"]
    call, args = task.book.reveal, (task.opened(voter, id),)
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
    v = task.opened(voter, id)
    reveal = task.book.reveal
    task.reverts("BookNoCommitment", id, other, call=reveal, args=((str(other), *v[1:]),), sender=voter)
    task.reverts("BookNoCommitment", second, voter, call=reveal, args=((v[0], second, *v[2:]),), sender=voter)
    for field, value in ((2, 3), (3, digest("other")), (4, digest("other"))):
        wrong = (*v[:field], value, *v[field + 1 :])
        task.reverts("BookCommitmentMismatch", call=reveal, args=(wrong,), sender=voter)
    for outside in (-9, 24, 127, -128):
        task.reverts("BookImprovementOutOfRange", outside, call=reveal, args=((*v[:2], outside, *v[3:]),), sender=voter)
    task.reverts("BookZeroEvidence", call=reveal, args=((*v[:3], bytes(32), v[4]),), sender=voter)
    task.reveal(voter, id)
    task.reverts("BookAlreadyRevealed", id, voter, call=reveal, args=(v,), sender=voter)
    vote = task.book.voteOf(id, voter)
    assert (vote["improvement"], vote["revealed"]) == (2, True)


def test_a_vote_for_other_weights_cannot_be_opened(task: Any, nodes: list[Any], id: int) -> None:
    voter = nodes[1]
    vote = task.vote(voter, id, 2)
    wrong = (*vote[:2], digest("other weights"), *vote[3:])
    task.send(task.book.commit, voter, task.seal(wrong), sender=voter)
    task.to_reveal(id)
    task.reverts("BookCommitmentMismatch", call=task.book.reveal, args=(task.opening(vote),), sender=voter)


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
    assert tuple(task.book.history(nodes[1])) == (0, 0)
    task.to_end(id)
    task.finalize(id)
    task.settle(id, [nodes[1]])  # it enters the history when it is settled, of a Void id too
    assert tuple(task.book.history(nodes[1])) == (int(improvement > 0), int(improvement > -7))


@pytest.mark.parametrize(("yes", "improvement"), [(65_535, 4), (40_001, 0)])
def test_a_full_history_is_halved_before_it_grows(
    task: Any, nodes: list[Any], id: int, chain: Any, yes: int, improvement: int
) -> None:
    """The node's slot, from the low end: free and locked of 88 bits, since 40, roles 8, yes 16, seen 16."""
    task.commit(nodes[1], id, improvement)
    slot = "0x" + keccak(encode(["address", "uint256"], [str(nodes[1]), 0])).hex()
    word = int(chain.rpc("eth_getStorageAt", str(task.vault), slot, "latest"), 16)
    before = task.account(nodes[1])
    chain.rpc("anvil_setStorageAt", str(task.vault), slot, f"0x{word % 2**224 + (yes << 224) + (65_535 << 240):064x}")
    assert tuple(task.book.history(nodes[1])) == (yes, 65_535)
    task.to_reveal(id)
    task.reveal(nodes[1], id)
    task.to_end(id)
    task.finalize(id)
    task.settle(id, [nodes[1]])
    assert tuple(task.book.history(nodes[1])) == (yes // 2 + (improvement > 0), 32_768)
    after = task.account(nodes[1])
    assert (after["stake"], after["locked"]) == (before["stake"] + BOND, 0)
    assert (after["roles"], after["since"]) == (before["roles"], before["since"])


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
    assert s["median"] == upper_median(votes, weights)
    assert s["revealedWeight"] == 33
    assert s["yesWeight"] == sum(w for w, v in zip(weights, votes, strict=True) if v > 0)


def test_tau_and_rate_follow_the_median(task: Any, nodes: list[Any]) -> None:
    q, tau = ONE // 2, 0
    for number, improvement in enumerate((4, 4, -8, -5, -5, -7, -5, -5)):
        author = nodes[number % 5]
        id = task.open(author)
        assert (task.submission(id)["tau"], task.submission(id)["q"]) == (tau, q)
        task.score(id, {n: improvement for n in nodes if n != author})
        q, tau = next_q(q, improvement, 40 * (improvement > tau), 40), next_tau(tau, improvement)
        assert task.trend() == (tau, q)


def test_quorum_of_voters(task: Any, nodes: list[Any], id: int) -> None:
    task.score(id, dict.fromkeys(nodes[1:3], 5))
    assert task.submission(id)["status"] == VOID
    second = task.open(nodes[0])
    task.score(second, dict.fromkeys(nodes[1:4], 5))
    assert task.submission(second)["status"] == FINAL


@pytest.mark.parametrize(("stake", "status"), [(9, VOID), (10, FINAL)])
def test_a_third_of_the_eligible_weight_is_always_a_quorum(
    task: Any, nodes: list[Any], chain: Any, stake: int, status: int
) -> None:
    small = [task.join(chain.accounts[60 + i], stake=s * UNIT) for i, s in enumerate((5, 5, stake))]
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])  # eligible 40 + 10 + stake
    task.score(id, dict.fromkeys(small, 5))
    eligible = task.submission(id)["eligible"]
    assert eligible == 50 + stake
    assert (3 * (10 + stake) >= eligible) == (status == FINAL)
    assert task.submission(id)["status"] == status


def test_the_quorum_learns_down_to_a_sixth(chain: Any) -> None:
    """Stake that sleeps stalls nothing for long: Q falls by a thirty-second with each id, and with it the quorum."""
    task = Task(quorumFloor=1)
    author, *voters = [task.join(a, stake=4 * UNIT) for a in chain.accounts[10:14]]
    task.join(chain.accounts[14], stake=46 * UNIT)  # sleeps
    task.pay(author, 10**4 * UNIT)
    task.send(task.vault.deposit, 10**4 * UNIT - 1, sender=author)
    chain.travel(chain.now + 10)
    activity, statuses = 0, []
    for _ in range(10):
        id = task.open(author)
        task.score(id, dict.fromkeys(voters, 0))
        known = activity or 58 << 16
        assert task.submission(id)["eligible"] == 58
        assert (task.submission(id)["status"] == FINAL) == quorum(12, 58, known, 1)
        statuses.append(task.submission(id)["status"])
        activity = next_activity(known, 12)
        assert task.registry.trend()[2] == activity
    assert VOID in statuses
    task.solvent([author, *voters, chain.accounts[14]])


@pytest.mark.parametrize(("sleeping", "status"), [(15, FINAL), (16, VOID)])
def test_less_than_a_sixth_is_never_a_quorum(chain: Any, sleeping: int, status: int) -> None:
    """Though nobody had voted for long: forty ids without a vote press Q below a third of the eligible weight."""
    task = Task(quorumFloor=1, slots=3_333, voteBondBps=1, submissionBond=1, scoringFee=1)
    author, *voters = [task.join(a, stake=s * UNIT) for a, s in zip(chain.accounts[10:14], (9, 1, 1, 1), strict=True)]
    task.join(chain.accounts[14], stake=sleeping * UNIT)
    chain.travel(chain.now + 10)
    silent = [task.open(author) for _ in range(40)]
    task.to_end(silent[-1])
    task.send(task.book.finalizeMany, 40, sender=author)
    eligible = 3 + sleeping
    assert 0 < task.registry.trend()[2] < eligible << 16 - 1
    assert task.registry.trend()[2] // 2**16 // 2 <= 3
    id = task.open(author)
    task.score(id, dict.fromkeys(voters, 5))
    assert (task.submission(id)["eligible"], task.submission(id)["status"]) == (eligible, status)


def test_what_was_never_submitted_says_nothing_of_who_votes(task: Any, nodes: list[Any]) -> None:
    id = task.reserve(nodes[0])
    task.to_end(id)
    task.finalize(id)
    assert task.registry.trend()[2] == 0


def test_never_submitted_forfeits_the_bond_and_returns_the_fee(task: Any, nodes: list[Any]) -> None:
    author, funds = nodes[0], task.funds()
    id = task.reserve(author)
    task.to_end(id)
    assert settlements(task.finalize(id)) == {author: (0, 2 * UNIT, 3 * UNIT, 0)}
    account = task.account(author)
    assert (account["stake"], account["locked"], account["credit"]) == (5 * UNIT, 0, 3 * UNIT)
    assert (task.escrow(), task.balances()["commons"], task.funds()) == (0, 2 * UNIT, funds)
    task.solvent(nodes)


def test_nobody_revealed_returns_bond_and_fee(task: Any, nodes: list[Any], id: int) -> None:
    task.commit(nodes[1], id, 3)
    task.to_end(id)
    task.finalize(id)
    account = task.account(nodes[0])
    assert (account["stake"], account["locked"], account["credit"]) == (7 * UNIT, 0, 3 * UNIT)
    task.settle(id, [nodes[1]])
    assert task.account(nodes[1])["stake"] == 10 * UNIT - BOND  # silence costs the bond, in a Void id too
    assert task.balances()["commons"] == BOND
    task.solvent(nodes)


def test_a_void_id_returns_the_fee_though_some_revealed(task: Any, nodes: list[Any], id: int) -> None:
    """Votes on it are paid nothing, so nobody is the richer for it."""
    funds = task.funds()
    task.score(id, dict.fromkeys(nodes[1:4], 3), silent=nodes[3:4])
    assert task.submission(id)["status"] == VOID
    assert (task.escrow(), task.balances()["commons"], task.funds()) == (0, BOND, funds)
    assert [task.wealth(n) for n in nodes[:4]] == [10 * UNIT, 10 * UNIT, 10 * UNIT, 10 * UNIT - BOND]
    task.solvent(nodes)


@pytest.mark.parametrize(("median", "lost"), [(-8, True), (-7, False), (-6, False)])
def test_an_author_loses_its_bond_at_the_lowest_median_only(
    task: Any, nodes: list[Any], id: int, median: int, lost: bool
) -> None:
    """Junk costs its author; bytes that were missing do not."""
    votes = dict.fromkeys(nodes[1:], median)
    receipt = task.score(id, votes, settle=False)
    bond, dust = 2 * UNIT, 3 * UNIT % 40
    assert settlements(receipt)[nodes[0]] == ((0, bond, 0, dust) if lost else (bond, 0, 0, dust))
    assert task.submission(id)["status"] == FINAL
    if median <= -7:
        assert set(settlements(task.settle(id, nodes[1:])).values()) == {(BOND, 0, 0, 3 * UNIT // 40 * 10)}
        assert task.trend() == (0, ONE // 2)
    task.solvent(nodes)


def test_the_lowest_outcome_alone_costs_no_bond(task: Any, nodes: list[Any], id: int) -> None:
    receipt = task.score(id, dict(zip(nodes[1:], (-8, -8, 5, 5), strict=True)))
    assert (task.submission(id)["outcome"], task.submission(id)["median"]) == (-8, 5)
    assert settlements(receipt)[nodes[0]][:2] == (2 * UNIT, 0)


def test_settling_is_for_terminal_ids_and_happens_once(task: Any, nodes: list[Any], id: int) -> None:
    call = task.book.settle
    task.reverts("RegistryUnknownId", 9, call=call, args=(9, []), sender=nodes[0])
    task.reverts("BookNotTerminal", id, call=call, args=(id, [str(nodes[1])]), sender=nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 3), settle=False)
    receipt = task.settle(id, [nodes[1], nodes[0], nodes[1]])
    assert list(settlements(receipt)) == [nodes[1]]
    assert [e["voter"] for e in receipt.events["SettleSkipped"]] == [nodes[0], nodes[1]]
    before = task.account(nodes[1])
    task.settle(id, nodes[1:])
    assert tuple(task.account(nodes[1])) == tuple(before)
    assert not any(bytes(task.book.voteOf(id, nodes[1])["commitment"]))
    task.reverts("BookNoCommitment", call=task.book.reveal, args=(task.opened(nodes[1], id),), sender=nodes[1])
    args = (nodes[1], task.sealed(id, b"\1" * 32))
    task.reverts("BookNotOpen", id, call=task.book.commit, args=args, sender=nodes[1])
    task.solvent(nodes)


def test_the_fee_is_sliced_by_weight_and_what_is_not_earned_goes_to_the_commons(
    task: Any, nodes: list[Any], id: int
) -> None:
    task.send(task.vault.requestUnstake, 3 * UNIT, sender=nodes[1])
    receipt = task.score(id, dict.fromkeys(nodes[1:], 0), settle=False)
    weight = 37
    dust = 3 * UNIT % weight
    assert settlements(receipt)[nodes[0]][3] == dust > 0
    weights = dict(zip(nodes[1:], (7, 10, 10, 10), strict=True))
    for voter, (released, forfeited, paid, rest) in settlements(task.settle(id, nodes[1:])).items():
        bond = UNIT * weights[voter] * 200 // 10_000
        assert (released, forfeited, paid) == (bond, 0, bond // 4)  # first votes: f = q = 1/2, less than the slice
        assert paid + rest == 3 * UNIT // weight * weights[voter]
    assert task.escrow() == 0
    assert task.balances()["commons"] == 3 * UNIT - 37 * UNIT * 200 // 10_000 // 4
    task.solvent(nodes)


def test_no_bond_and_no_surcharge_is_ever_the_sponsors(task: Any, nodes: list[Any], id: int) -> None:
    """Forfeits of a silent voter and of junk are commons; the sponsor's funds are what it paid in."""
    funds = task.funds()
    task.score(id, dict.fromkeys(nodes[1:], -8), silent=nodes[4:])
    assert task.funds() == funds
    assert task.balances()["commons"] == 2 * UNIT + BOND + 3 * UNIT
