"""Attacks of the protocol page on votes, performed."""

import os
from typing import Any

import pytest
from eth_account import Account
from support.reference import next_activity
from support.task import ANY_FEE, FINAL, UNIT, VALIDATOR, VOID, ZERO, Task, digest
from support.wire import INSTRUMENTED

SECRET = "0x" + "33" * 32
GENERATIONS = 1_000 if os.environ.get("PDFED_PROFILE") == "deep" else 100


def test_a_copied_commitment_cannot_be_opened_by_the_thief(task: Any, nodes: list[Any]) -> None:
    author, owner, thief, *_ = nodes
    id = task.open(author)
    task.commit(owner, id, 4)
    task.send(task.book.commit, thief, task.seal(task.ballots[id, str(owner)]), sender=thief)
    task.to_reveal(id)
    task.reveal(owner, id)
    stolen = (str(thief), *task.opened(owner, id)[1:])
    task.reverts("BookCommitmentMismatch", call=task.book.reveal, args=(stolen,), sender=thief)


def test_a_front_run_commitment_does_not_block_its_owner(task: Any, nodes: list[Any]) -> None:
    author, owner, thief, *_ = nodes
    id = task.open(author)
    sealed = task.seal(task.vote(owner, id, 4))
    task.send(task.book.commit, thief, sealed, sender=thief)
    task.commit(owner, id, 4)
    task.reverts("VaultNotVoter", nodes[3], thief, call=task.book.commit, args=(nodes[3], sealed), sender=thief)


def test_a_second_commitment_is_refused(task: Any, nodes: list[Any]) -> None:
    author, voter, key, *_ = nodes
    id = task.open(author)
    task.send(task.vault.setVotingKey, key, sender=voter)
    task.commit(voter, id, 4)
    args = (voter, task.sealed(id, b"\2" * 32))
    for sender in (voter, key):
        task.reverts("BookAlreadyCommitted", id, voter, call=task.book.commit, args=args, sender=sender)
    task.to_reveal(id)
    task.reveal(voter, id)
    task.reverts("BookAlreadyCommitted", call=task.book.commit, args=args, sender=voter)


def test_an_opening_does_not_travel_to_another_task_or_chain(task: Any, nodes: list[Any], chain: Any) -> None:
    other = Task()
    for node in nodes:
        other.join(node)
    chain.travel(chain.now + 10)
    author, voter = nodes[:2]
    ids = task.reserve(author, "same"), other.reserve(author, "same")
    task.submit(author, ids[0], name="same")
    other.submit(author, ids[1], name="same")
    vote = task.vote(voter, ids[0], 4)
    commitment = task.book.hashVote(vote)
    assert bytes(other.book.hashVote(vote)) != bytes(commitment)
    task.send(other.book.commit, voter, other.sealed(ids[1], commitment), sender=voter)
    other.to_reveal(ids[1])
    task.reverts("BookCommitmentMismatch", call=other.book.reveal, args=(task.opening(vote),), sender=voter)
    chain.rpc("anvil_setChainId", 5)
    try:
        assert chain.simulate(task.book.hashVote, vote, sender=voter) != bytes(commitment)
    finally:
        chain.rpc("anvil_setChainId", 31_337)


def test_commit_and_reveal_in_one_block(task: Any, nodes: list[Any], chain: Any) -> None:
    id = task.open(nodes[0])
    vote = task.vote(nodes[1], id, 4)
    calls = [
        (task.book.commit, (nodes[1], task.seal(vote)), nodes[1]),
        (task.book.reveal, (task.opening(vote),), nodes[1]),
    ]
    windows = task.windows(id)
    snapshot = chain.snapshot()
    assert chain.block(calls, at=windows["commitEnd"] - 1) == [True, False]
    chain.revert(snapshot)
    assert chain.block(calls, at=windows["revealStart"]) == [False, False]


def test_stake_after_reserve_and_flash_stake_do_not_vote(task: Any, nodes: list[Any], chain: Any) -> None:
    whale = chain.accounts[60]
    task.pay(whale, 1_000 * UNIT)
    task.send(task.vault.register, VALIDATOR, ZERO, bytes(32), sender=whale)
    reservation = task.reservation(nodes[0], 1)
    now = chain.now + 10
    calls = [(task.vault.deposit, (1_000 * UNIT,), whale), (task.registry.reserve, (reservation, ANY_FEE), nodes[0])]
    assert chain.block(calls, at=now) == [True, True]
    task.submit(nodes[0], 1)
    assert task.submission(1)["eligible"] == 40
    task.reverts(
        "BookNoWeight", 1, whale, call=task.book.commit, args=(whale, task.sealed(1, b"\1" * 32)), sender=whale
    )


def test_one_absurd_vote_does_not_move_the_outcome(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    task.score(id, dict(zip(nodes[1:], (3, 3, 3, 23), strict=True)))
    assert (task.submission(id)["outcome"], task.submission(id)["median"]) == (3, 3)


def test_a_third_of_the_weight_holds_down_a_model_that_memorised_its_pictures(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    task.score(id, dict(zip(nodes[1:], (9, 9, -8, -8), strict=True)))
    assert (task.submission(id)["outcome"], task.submission(id)["gain"]) == (-8, 0)
    assert task.pool.owed(id) == 0
    assert task.wealth(nodes[0]) == 7 * UNIT  # its median is not LOWEST: the bond is not lost


@pytest.mark.parametrize("sybils", [64, 200])
def test_sybils_fill_no_slots_and_own_no_result(chain: Any, sybils: int) -> None:
    """Many minimal accounts weigh what their stake weighs; every honest vote still counts, at the same cost."""
    task = Task()
    honest = [task.join(a, stake=100 * UNIT) for a in chain.accounts[10:14]]
    crowd = []
    for i in range(sybils):
        address = "0x" + digest("sybil", i)[-20:].hex()
        chain.rpc("anvil_impersonateAccount", address)
        crowd.append(address)
    batch: list[Any] = []
    funder = chain.accounts[1]
    task.send(task.token.mint, funder, sybils * UNIT, sender=funder)
    for address in crowd:
        batch += [
            (task.token.transfer, (address, UNIT), funder),
            (task.token.approve, (task.vault, UNIT), address),
            (task.vault.register, (VALIDATOR, ZERO, bytes(32)), address),
            (task.vault.deposit, (UNIT,), address),
        ]
    for start in range(0, len(batch), 100):
        assert all(chain.block(batch[start : start + 100], at=chain.now + 1))
    chain.travel(chain.now + 10)
    id = task.open(honest[0])
    votes = {a: (str(a), id, *task.vote(a, id, 23)[2:]) for a in crowd}
    calls = [(task.book.commit, (a, task.seal(votes[a])), a) for a in crowd]
    for start in range(0, len(calls), 100):
        assert all(chain.block(calls[start : start + 100], at=chain.now + 1))
    for node in honest[1:]:
        task.commit(node, id, 1)
    task.to_reveal(id)
    reveals = [(task.book.reveal, (task.opening(votes[a]),), a) for a in crowd]
    for start in range(0, len(reveals), 100):
        assert all(chain.block(reveals[start : start + 100], at=chain.now + 1))
    for node in honest[1:]:
        task.reveal(node, id)
    task.to_end(id)
    receipt = task.finalize(id)
    assert INSTRUMENTED or receipt.gas_used <= 160_000
    assert task.submission(id)["outcome"] == 1
    assert task.submission(id)["revealedWeight"] == 300 + sybils


@pytest.mark.parametrize("voters", [1, 2])
def test_one_or_two_voters_are_no_quorum(chain: Any, voters: int) -> None:
    task = Task(quorumFloor=1)
    nodes = [task.join(a) for a in chain.accounts[10 : 11 + voters]]
    task.fund()
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 23))
    assert task.submission(id)["status"] == VOID


def test_a_reorg_around_commit_end_drops_a_vote_but_exposes_none(task: Any, nodes: list[Any], chain: Any) -> None:
    """A commit that a reorg moves past the window is refused; its opening was never sent, as reveals come later."""
    id = task.open(nodes[0])
    end = task.windows(id)["commitEnd"]
    snapshot = chain.snapshot()
    task.commit(nodes[1], id, 4, at=end - 1)
    chain.revert(snapshot)
    args = (nodes[1], task.sealed(id, b"\1" * 32))
    task.reverts("BookCommitOver", id, end, end, call=task.book.commit, args=args, sender=nodes[1], at=end)
    assert task.windows(id)["revealStart"] > end


def test_a_probe_model_learns_nothing_but_the_votes(task: Any, nodes: list[Any]) -> None:
    """no_probe_bit: the author publishes a model that emits one picture. One voter holds it, the others do not. Until
    the votes open nothing differs between them but hashes, and afterwards nothing but `improvement`."""
    author, holder, *strangers = nodes
    id = task.open(author)
    sealed, opened = {}, {}
    for voter in (holder, *strangers):
        vote = -8 if voter == holder else 5
        receipt = task.commit(voter, id, vote)
        sealed[voter] = {**dict(receipt.events["VoteBonded"]), **dict(receipt.events["Committed"])}
    task.to_reveal(id)
    for voter in (holder, *strangers):
        opened[voter] = dict(task.reveal(voter, id).events["Revealed"])
    public = {k: v for k, v in sealed[holder].items() if k not in ("voter", "commitment")}
    for voter in strangers:
        assert {k: v for k, v in sealed[voter].items() if k not in ("voter", "commitment")} == public
        assert set(opened[voter]) == {"id", "voter", "improvement", "evidenceRoot"}
    votes = [dict(zip(task.book.voteOf(id, v).keys(), task.book.voteOf(id, v), strict=True)) for v in opened]
    differing = {k for vote in votes for k in vote if vote[k] != votes[0][k]}
    assert differing <= {"commitment", "improvement"}
    fields = ["voter", "submissionId", "improvement", "evidenceRoot", "salt"]
    struct = next(e for e in task.book.abi if e.get("name") == "reveal")["inputs"][0]["components"]
    assert [c["name"] for c in struct] == fields  # and no field for a raw score


def test_out_of_range_scores_cannot_be_revealed(task: Any, nodes: list[Any]) -> None:
    """A client that turned a non-finite score into a huge number loses its bond, and nobody else anything."""
    id = task.open(nodes[0])
    vote = (*task.vote(nodes[1], id, 0)[:3], 127, *task.vote(nodes[1], id, 0)[4:])
    task.send(task.book.commit, nodes[1], task.seal(vote), sender=nodes[1])
    task.to_reveal(id)
    args = (task.opening(vote),)
    task.reverts("BookImprovementOutOfRange", 127, call=task.book.reveal, args=args, sender=nodes[1])


@pytest.mark.skipif(INSTRUMENTED, reason="has a chain of its own and ceilings of gas at every act")
def test_a_lineage_of_many_generations_pours_hop_by_hop() -> None:
    """Rewards and a royalty run down the whole line, whatever its depth costs a hop; all invariants hold on the way."""
    from stateful.lineage import run_lineage

    depth = run_lineage(GENERATIONS)
    assert depth.generations == GENERATIONS
    assert depth.dearest_pour <= 105_000  # sharing out an own reward included
    assert depth.reached_genesis > 0


def test_two_reservations_swapped_by_a_reorg_bind_no_signed_commit_to_the_wrong_model(
    task: Any, nodes: list[Any], chain: Any
) -> None:
    """A signed commit for id 1 waits while a reorg gives id 1 to another model: it is refused, the voter's bond is not
    locked, and the voter commits again, on the right id."""
    signer = task.join(chain.account(SECRET))
    chain.travel(chain.now + 10)
    ann, bob, *_ = nodes
    snapshot = chain.snapshot()
    mine, other = task.reserve(ann, "mine"), task.reserve(bob, "other")
    task.submit(ann, mine, name="mine")
    task.submit(bob, other, name="other")
    deadline = task.windows(mine)["commitEnd"] - 10
    vote = task.vote(signer, mine, 4)
    sealed = task.seal(vote)
    signature = bytes(Account._sign_hash(bytes(task.book.hashCommit(signer, sealed, deadline)), SECRET).signature)
    chain.revert(snapshot)
    swapped, right = task.reserve(bob, "other"), task.reserve(ann, "mine")
    task.submit(bob, swapped, name="other")
    task.submit(ann, right, name="mine")
    assert (swapped, right) == (mine, other)
    args = (signer, sealed, deadline, signature)
    task.reverts("BookRecordMismatch", call=task.book.commitBySig, args=args, sender=nodes[4])
    assert task.account(signer)["locked"] == 0
    again = task.seal(task.vote(signer, right, 4))
    assert again[1] == sealed[1]
    signature = bytes(Account._sign_hash(bytes(task.book.hashCommit(signer, again, deadline)), SECRET).signature)
    task.send(task.book.commitBySig, signer, again, deadline, signature, sender=nodes[4])
    assert task.book.voteOf(right, signer)["weight"] == 10


def test_a_whale_that_votes_once_in_a_while_moves_the_quorum_by_a_thirty_second(chain: Any) -> None:
    """To keep Q high with stake that mostly sleeps it must vote often: each id without it lowers Q by 1/32 of what is
    missing, and less than a third of the eligible weight, which the others hold, is then enough."""
    task = Task(quorumFloor=1, slots=3_333, voteBondBps=1, submissionBond=1, scoringFee=1)
    author, *voters = [
        task.join(a, stake=s * UNIT) for a, s in zip(chain.accounts[10:14], (2, 10, 10, 10), strict=True)
    ]
    whale = task.join(chain.accounts[14], stake=72 * UNIT)
    chain.travel(chain.now + 10)
    finals = 0
    for number in range(33):
        id = task.open(author)
        votes = dict.fromkeys((*voters, whale) if number == 0 else voters, 0)
        before = task.registry.trend()[2] or 102 << 16
        task.score(id, votes)
        revealed = 102 if number == 0 else 30
        assert task.registry.trend()[2] == next_activity(before, revealed)
        finals += task.submission(id)["status"] == FINAL
    assert 2 < finals < 10  # Void while Q was high, Final ever since
    assert task.submission(33)["status"] == FINAL
    assert all(task.submission(i)["status"] == VOID for i in range(2, 33 - finals + 2))
