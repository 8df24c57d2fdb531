"""Attacks of the protocol page, performed."""

import os
from typing import Any

import pytest
from stateful.lineage import run_lineage
from support.task import FINAL, OPEN, TRAINER, UNIT, VALIDATOR, VOID, ZERO, Task, digest
from support.wire import INSTRUMENTED

GENERATIONS = 1_000 if os.environ.get("PDFED_PROFILE") == "deep" else 100


def test_a_copied_commitment_cannot_be_opened_by_the_thief(task: Any, nodes: list[Any]) -> None:
    author, owner, thief, *_ = nodes
    id = task.open(author)
    task.commit(owner, id, 4)
    task.send(task.book.commit, thief, id, task.book.hashVote(task.ballots[id, str(owner)]), sender=thief)
    task.to_reveal(id)
    task.reveal(owner, id)
    stolen = (str(thief), *task.ballots[id, str(owner)][1:])
    task.reverts("BookCommitmentMismatch", call=task.book.reveal, args=(stolen,), sender=thief)


def test_a_front_run_commitment_does_not_block_its_owner(task: Any, nodes: list[Any]) -> None:
    author, owner, thief, *_ = nodes
    id = task.open(author)
    commitment = task.book.hashVote(task.vote(owner, id, 4))
    task.send(task.book.commit, thief, id, commitment, sender=thief)
    task.commit(owner, id, 4)
    task.reverts("VaultNotVoter", nodes[3], thief, call=task.book.commit, args=(nodes[3], id, commitment), sender=thief)


def test_a_second_commitment_is_refused(task: Any, nodes: list[Any]) -> None:
    author, voter, key, *_ = nodes
    id = task.open(author)
    task.send(task.vault.setVotingKey, key, sender=voter)
    task.commit(voter, id, 4)
    for sender in (voter, key):
        args = (voter, id, b"\2" * 32)
        task.reverts("BookAlreadyCommitted", id, voter, call=task.book.commit, args=args, sender=sender)
    task.to_reveal(id)
    task.reveal(voter, id)
    task.reverts("BookAlreadyCommitted", call=task.book.commit, args=(voter, id, b"\2" * 32), sender=voter)


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
    task.send(other.book.commit, voter, ids[1], commitment, sender=voter)
    other.to_reveal(ids[1])
    task.reverts("BookCommitmentMismatch", call=other.book.reveal, args=(vote,), sender=voter)
    chain.rpc("anvil_setChainId", 5)
    try:
        assert chain.simulate(task.book.hashVote, vote, sender=voter) != bytes(commitment)
    finally:
        chain.rpc("anvil_setChainId", 31_337)


def test_commit_and_reveal_in_one_block(task: Any, nodes: list[Any], chain: Any) -> None:
    id = task.open(nodes[0])
    vote = task.vote(nodes[1], id, 4)
    calls = [
        (task.book.commit, (nodes[1], id, task.book.hashVote(vote)), nodes[1]),
        (task.book.reveal, (vote,), nodes[1]),
    ]
    windows = task.windows(id)
    snapshot = chain.snapshot()
    assert chain.block(calls, at=windows["commitEnd"] - 1) == [True, False]
    chain.revert(snapshot)
    assert chain.block(calls, at=windows["revealStart"]) == [False, False]


def test_withheld_reveals_kill_a_quorum_only_at_the_price_of_their_bonds(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    pool = task.vault.totals()[1]
    task.score(id, dict.fromkeys(nodes[1:], 4), silent=nodes[2:])
    assert task.submission(id)["status"] == VOID
    assert [task.account(n)["stake"] for n in nodes[1:]] == [10 * UNIT] + [9 * UNIT] * 3
    assert task.vault.totals()[1] == pool + 3 * UNIT + 3 * UNIT  # three bonds and the fee
    task.solvent(nodes)


def test_stake_after_reserve_and_flash_stake_do_not_vote(task: Any, nodes: list[Any], chain: Any) -> None:
    whale = chain.accounts[60]
    task.pay(whale, 1_000 * UNIT)
    task.send(task.vault.register, VALIDATOR, ZERO, bytes(32), sender=whale)
    reservation = task.reservation(nodes[0], 1)
    now = chain.now + 10
    calls = [(task.vault.deposit, (1_000 * UNIT,), whale), (task.registry.reserve, (reservation,), nodes[0])]
    assert chain.block(calls, at=now) == [True, True]
    task.submit(nodes[0], 1)
    assert task.submission(1)["eligible"] == 40
    task.reverts("BookNoWeight", 1, whale, call=task.book.commit, args=(whale, 1, b"\1" * 32), sender=whale)


def test_unstaking_does_not_save_a_silent_voter_from_its_forfeit(task: Any, nodes: list[Any], chain: Any) -> None:
    id = task.open(nodes[0])
    voter = nodes[1]
    task.commit(voter, id, 4)
    task.reverts(
        "VaultInsufficientStake",
        voter,
        9 * UNIT,
        10 * UNIT,
        call=task.vault.requestUnstake,
        args=(10 * UNIT,),
        sender=voter,
    )
    task.send(task.vault.requestUnstake, 9 * UNIT, sender=voter)
    task.to_end(id)
    task.finalize(id)
    chain.travel(chain.now + task.params["unbonding"])
    task.send(task.vault.withdraw, voter, sender=voter)
    task.settle(id, [voter])
    account = task.account(voter)
    assert (account["stake"], account["locked"]) == (0, 0)
    task.solvent(nodes)


def test_nobody_resets_the_clock_of_another_by_depositing_for_it(task: Any) -> None:
    names = {entry["name"]: entry["inputs"] for entry in task.vault.abi if entry.get("name") == "deposit"}
    assert [i["type"] for i in names["deposit"]] == ["uint256"]  # only for the caller


def test_one_absurd_vote_does_not_move_the_outcome(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    task.score(id, dict(zip(nodes[1:], (3, 3, 3, 23), strict=True)))
    assert (task.submission(id)["outcome"], task.submission(id)["median"]) == (3, 3)


def test_a_third_of_the_weight_holds_down_a_model_that_memorised_its_pictures(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    task.score(id, dict(zip(nodes[1:], (9, 9, -8, -8), strict=True)))
    assert task.submission(id)["outcome"] == -8
    assert task.pool.owed(id) == 0


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
    calls = [(task.book.commit, (a, id, task.book.hashVote(votes[a])), a) for a in crowd]
    for start in range(0, len(calls), 100):
        assert all(chain.block(calls[start : start + 100], at=chain.now + 1))
    for node in honest[1:]:
        task.commit(node, id, 1)
    task.to_reveal(id)
    reveals = [(task.book.reveal, (votes[a],), a) for a in crowd]
    for start in range(0, len(reveals), 100):
        assert all(chain.block(reveals[start : start + 100], at=chain.now + 1))
    for node in honest[1:]:
        task.reveal(node, id)
    task.to_end(id)
    receipt = task.finalize(id)
    assert INSTRUMENTED or receipt.gas_used <= 160_000
    assert task.submission(id)["outcome"] == 1
    assert task.submission(id)["revealedWeight"] == 300 + sybils


def test_plagiarism_by_one_flipped_bit_earns_nothing(task: Any, nodes: list[Any]) -> None:
    """Before publication only a hash is public; after it the copy is measured against the same model or its better."""
    author, thief, *voters = nodes
    original = task.reserve(author, "original")
    before = task.reserve(thief, "original")  # the thief has seen the reservation, nothing else: it cannot open one
    reserved, record = task.reservation(author, "original"), task.record("original")
    args = (original, record, digest("salt", "original"))
    task.reverts("RegistryNotAuthor", original, author, thief, call=task.registry.submit, args=args, sender=thief)
    assert reserved != task.reservation(thief, "original")
    task.submit(author, original, name="original")
    copy = task.reserve(voters[0], "copy")
    task.submit(voters[0], copy, name="copy")
    for id, out in ((original, author), (copy, voters[0])):
        for n in nodes:
            if n not in (out, thief):
                task.commit(n, id, 5)
    task.to_reveal(copy)
    for id, name in list(task.ballots):
        task.reveal(next(n for n in nodes if str(n) == name), id)
    task.to_end(copy)
    for id in (original, before, copy):
        task.finalize(id)
    assert task.submission(original)["gain"] == 5
    assert (task.submission(copy)["level"], task.submission(copy)["gain"], task.pool.owed(copy)) == (5, 0, 0)


def test_squatting_and_spam_cost_a_bond_each_and_never_block_the_queue(task: Any, nodes: list[Any], chain: Any) -> None:
    squatter = task.join(chain.accounts[60], stake=50 * UNIT)
    honest = nodes[0]
    spam = [task.reserve(squatter, f"spam {i}") for i in range(10)]
    task.reverts("VaultInsufficientStake", call=task.registry.reserve, args=(b"\1" * 32,), sender=squatter)
    id = task.open(honest)
    for n in nodes[1:]:
        task.commit(n, id, 4)
    task.to_reveal(id)
    for n in nodes[1:]:
        task.reveal(n, id)
    task.to_end(id)
    task.send(task.book.finalizeMany, 20, sender=honest)
    assert {task.submission(i)["status"] for i in spam} == {VOID}
    assert task.submission(id)["status"] == FINAL
    assert task.account(squatter)["stake"] == 0
    assert task.account(squatter)["credit"] == 30 * UNIT
    task.solvent([*nodes, squatter])


def test_noise_does_not_ratchet_the_level(task: Any, nodes: list[Any]) -> None:
    """No-op retrains that luck lifts by one bucket never become best: minStep is 2."""
    for number in range(4):
        author = nodes[number]
        task.score(task.open(author), {n: 1 for n in nodes if n != author})
    assert task.best() == (0, 0)
    assert task.pool.balances()[2] == 0


def test_checkpoints_earn_what_one_step_earns(task: Any, nodes: list[Any], chain: Any) -> None:
    """Salami: gains 3 + 3 are paid what one gain of 6 is paid, to the rounding; and pour pays one author as much."""
    author, *voters = nodes
    snapshot = chain.snapshot()
    start = task.balances()[1]

    def earned(steps: tuple[int, ...]) -> int:
        total = 0
        for step in steps:
            id = task.open(author)
            task.score(id, dict.fromkeys(voters, step))
            total += task.pool.owed(id)
        return total

    chain.rpc("evm_setNextBlockTimestamp", chain.now + 1)
    one = earned((6,))
    chain.revert(snapshot)
    two = earned((3, 3))
    drip = 2 * 1_600 * 1_000 * UNIT // 100 // 86_400  # the second step lets the allowance grow a little longer
    assert start > 0
    assert abs(two - one) <= drip


def test_sock_puppet_parents_earn_nothing(task: Any, nodes: list[Any]) -> None:
    author, puppet, *voters = nodes
    first = task.open(author)
    task.score(first, dict.fromkeys(voters, 4))
    sock = task.open(puppet)  # an untrained copy: no gain
    task.score(sock, dict.fromkeys(voters, 0))
    child = task.open(author, [(sock, 10_000)])
    task.score(child, dict.fromkeys(voters, 4))
    task.send(task.pool.pourMany, [child, sock, first], sender=author)
    assert task.account(puppet)["credit"] == 0
    assert task.pool.pending(sock) == 0
    task.solvent(nodes)


def test_late_publication_does_not_leave_voting_to_the_authors_sybils(task: Any, nodes: list[Any]) -> None:
    """The author keeps the bytes back until the last second; its two sybils vote at once, the others need an hour
    of the commit window to fetch and score. The window runs from the reservation, and a quarter of it is all the author
    can take away: the honest still vote, and hold the model where it belongs."""
    author, *sybils = nodes[:3]
    honest = nodes[3:]
    id = task.reserve(author)
    w = task.windows(id)
    window = task.params["commitWindow"]
    args = (id, task.record(id), digest("salt", id))
    end = (id, w["submitEnd"], w["submitEnd"])
    task.reverts(
        "RegistrySubmitWindowOver", *end, call=task.registry.submit, args=args, sender=author, at=w["submitEnd"]
    )
    task.submit(author, id, at=w["submitEnd"] - 1)
    assert task.windows(id)["commitEnd"] - w["submitEnd"] >= window * 3 // 4
    for sybil in sybils:
        task.commit(sybil, id, 23)
    for late, voter in enumerate(reversed(honest), 1):
        task.commit(voter, id, 0, at=w["commitEnd"] - 3 + late)
    task.to_reveal(id)
    for voter in (*sybils, *honest):
        task.reveal(voter, id)
    task.to_end(id)
    task.finalize(id)
    assert (task.submission(id)["status"], task.submission(id)["outcome"]) == (FINAL, 0)
    task.send(task.book.finalizeMany, 1, sender=author)
    assert task.pool.owed(id) == 0


def test_parameters_cannot_change_mid_window(task: Any, nodes: list[Any]) -> None:
    """Everybody with a special role tries what it has while an id is open: its windows and result stay as announced."""
    id = task.open(nodes[0])
    frozen = tuple(task.registry.params()), tuple(task.windows(id)), task.submission(id)["eligible"]
    code = [task.chain.rpc("eth_getCode", str(c), "latest") for c in (task.vault, task.registry, task.book, task.pool)]
    task.reverts("InvalidInitialization", call=task.registry.initialize, sender=task.sponsor)
    task.reverts("RegistryNotGuardian", task.sponsor, call=task.registry.pause, args=(1,), sender=task.sponsor)
    task.fund(UNIT)
    task.send(task.pool.close, sender=task.sponsor)
    task.score(id, dict.fromkeys(nodes[1:], 4))
    assert (tuple(task.registry.params()), tuple(task.windows(id)), task.submission(id)["eligible"]) == frozen
    now = [task.chain.rpc("eth_getCode", str(c), "latest") for c in (task.vault, task.registry, task.book, task.pool)]
    assert now == code
    assert len(code[2]) // 2 - 1 == 45 + 32 * 15  # parameters are in the code
    assert task.submission(id)["gain"] == 4


def test_settle_pour_finalise_by_strangers_and_at_bad_moments_change_nothing_they_should_not(
    task: Any, nodes: list[Any], chain: Any
) -> None:
    stranger = chain.accounts[70]
    id = task.open(nodes[0])
    task.send(task.pool.pour, id, sender=stranger)
    task.send(task.book.finalizeMany, 9, sender=stranger)
    assert task.submission(id)["status"] == OPEN
    task.reverts("BookNotTerminal", id, call=task.book.settle, args=(id, [str(nodes[1])]), sender=stranger)
    task.score(id, dict.fromkeys(nodes[1:], 4), settle=False)
    task.settle(id, nodes[1:], sender=stranger)
    task.send(task.pool.pour, id, sender=stranger)
    assert task.account(stranger)["credit"] == 0
    assert all(task.account(n)["credit"] > 0 for n in nodes)
    task.solvent([*nodes, stranger])


def test_the_last_to_leave_finds_its_money(task: Any, nodes: list[Any], chain: Any) -> None:
    """Odd amounts, every path, then everybody leaves: only the pool remains."""
    odd = [task.join(a, stake=10 * UNIT + 7919 * i + 1) for i, a in enumerate(chain.accounts[60:64])]
    everybody = [*nodes, *odd]
    chain.travel(chain.now + 10)
    id = task.open(odd[0])
    task.score(id, dict.fromkeys([n for n in everybody if n != odd[0]], 3), silent=odd[1:2])
    task.send(task.pool.pour, id, sender=nodes[0])
    task.send(task.pool.close, sender=task.sponsor)
    for node in everybody:
        if task.account(node)["stake"]:
            task.send(task.vault.requestUnstake, task.account(node)["stake"], sender=node)
    chain.travel(chain.now + task.params["unbonding"])
    for node in everybody:
        if task.account(node)["unbonding"]:
            task.send(task.vault.withdraw, node, sender=node)
        if task.account(node)["credit"]:
            task.send(task.vault.claim, node, sender=node)
    task.send(task.pool.reclaim, task.sponsor, sender=task.sponsor)
    assert task.token.balanceOf(task.vault) == 0
    assert tuple(task.vault.totals()) == (0, 0)


@pytest.mark.parametrize("voters", [1, 2])
def test_one_or_two_voters_are_no_quorum(chain: Any, voters: int) -> None:
    task = Task(quorumFloor=1)
    nodes = [task.join(a) for a in chain.accounts[10 : 11 + voters]]
    task.fund()
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 23))
    assert task.submission(id)["status"] == VOID


def test_a_sponsor_that_closes_early_leaves_open_ids_their_pay(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    task.send(task.pool.close, sender=task.sponsor)
    task.reverts("PoolUnfinished", call=task.pool.reclaim, args=(task.sponsor,), sender=task.sponsor)
    task.score(id, dict.fromkeys(nodes[1:], 5))
    assert task.pool.owed(id) > 0
    task.reverts("PoolGraceRunning", call=task.pool.reclaim, args=(task.sponsor,), sender=task.sponsor)


def test_a_sponsor_that_races_settling_and_pouring_takes_none_of_what_is_owed(
    task: Any, nodes: list[Any], chain: Any
) -> None:
    """Reclaim is sent in the block in which grace ends, before anybody settled or poured; then again after them."""
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 5), silent=nodes[4:], settle=False)
    owed, escrow = task.pool.owed(id), task.vault.totals()[0]
    assert owed > 0
    assert escrow > 0
    task.send(task.pool.close, sender=task.sponsor)
    chain.travel(chain.now + task.params["grace"])
    task.send(task.pool.reclaim, task.sponsor, sender=task.sponsor)
    assert task.vault.totals() == (escrow, owed)
    assert task.submission(id)["gain"] == 5
    task.settle(id, nodes[1:])
    task.send(task.pool.pour, id, sender=nodes[0])
    for node in nodes[:4]:
        task.send(task.vault.claim, node, sender=node)
    late = task.vault.totals()[1]  # the silent voter's bond, unearned fees, the lineage's part at genesis
    assert late > UNIT
    before = task.token.balanceOf(task.sponsor)
    task.send(task.pool.reclaim, task.sponsor, sender=task.sponsor)
    assert task.token.balanceOf(task.sponsor) - before == late
    task.reverts("PoolNotSponsor", nodes[0], call=task.pool.reclaim, args=(nodes[0],), sender=nodes[0])
    task.solvent(nodes)


def test_a_reorg_around_commit_end_drops_a_vote_but_exposes_none(task: Any, nodes: list[Any], chain: Any) -> None:
    """A commit that a reorg moves past the window is refused; its opening was never sent, as reveals come later."""
    id = task.open(nodes[0])
    end = task.windows(id)["commitEnd"]
    snapshot = chain.snapshot()
    task.commit(nodes[1], id, 4, at=end - 1)
    chain.revert(snapshot)
    args = (nodes[1], id, b"\1" * 32)
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
        sealed[voter] = dict(task.commit(voter, id, vote).events["Committed"])
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
    fields = ["voter", "submissionId", "weightsDigest", "improvement", "evidenceRoot", "salt"]
    struct = next(e for e in task.book.abi if e.get("name") == "reveal")["inputs"][0]["components"]
    assert [c["name"] for c in struct] == fields  # and no field for a raw score


def test_a_lost_best_ends_the_task_and_a_new_genesis_continues_it(task: Any, nodes: list[Any]) -> None:
    """Whoever lacks the bytes votes -8; the sponsor closes, everybody is paid, and a new task starts elsewhere."""
    best = task.open(nodes[0])
    task.score(best, dict.fromkeys(nodes[1:], 4))
    child = task.open(nodes[1], [(best, 10_000)])
    task.score(child, {n: -8 for n in nodes if n != nodes[1]})
    assert (task.submission(child)["outcome"], task.pool.owed(child)) == (-8, 0)
    assert task.best() == (best, 4)
    task.send(task.pool.close, sender=task.sponsor)
    task.send(task.pool.pour, best, sender=nodes[0])
    task.send(task.vault.claim, nodes[0], sender=nodes[0])
    assert Task().best() == (0, 0)


def test_out_of_range_scores_cannot_be_revealed(task: Any, nodes: list[Any]) -> None:
    """A client that turned a non-finite score into a huge number loses its bond, and nobody else anything."""
    id = task.open(nodes[0])
    vote = (*task.vote(nodes[1], id, 0)[:3], 127, *task.vote(nodes[1], id, 0)[4:])
    task.send(task.book.commit, nodes[1], id, task.book.hashVote(vote), sender=nodes[1])
    task.to_reveal(id)
    task.reverts("BookImprovementOutOfRange", 127, call=task.book.reveal, args=(vote,), sender=nodes[1])


@pytest.mark.skipif(INSTRUMENTED, reason="has a chain of its own and ceilings of gas at every act")
def test_a_lineage_of_many_generations_pours_hop_by_hop() -> None:
    """Rewards and a royalty run down the whole line, whatever its depth costs a hop; all invariants hold on the way."""
    depth = run_lineage(GENERATIONS)
    assert depth.generations == GENERATIONS
    assert depth.dearest_pour <= 105_000  # sharing out an own reward included
    assert depth.reached_genesis > 0


def test_the_registration_of_trainers_only_does_not_grant_votes_without_stake(task: Any, chain: Any) -> None:
    empty = chain.accounts[65]
    task.send(task.vault.register, TRAINER, ZERO, bytes(32), sender=empty)
    task.reverts(
        "VaultInsufficientStake", empty, 0, 5 * UNIT, call=task.registry.reserve, args=(b"\1" * 32,), sender=empty
    )
