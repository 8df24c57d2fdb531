"""Attacks of the protocol page on rewards and lineage, performed: contribution is paid, votes and copies are not.

Five equal nodes; `kappa` is a third, so one of three voters is a veto. Indices of buckets: 14 is 24 grains, 15 is 28.
"""

from typing import Any

import pytest
from support.plays import drawn, play, together, top_up
from support.reference import grains, index_of, reward
from support.task import UNIT, Task

GOOD = index_of(24)
LINE = 3_000  # of 10,000 of each author's part flow on along references; at genesis they are commons


def kept(amount: int) -> int:
    """An author's part without what flows on."""
    return amount - amount * LINE // 10_000


@pytest.fixture
def vetoed(task: Any, nodes: list[Any]) -> int:
    """A model of the first node that is 24 grains better; the second, one of three voters, voted it to the bottom."""
    ann, thief, x, y, _ = nodes
    id = play(task, ann, {thief: -8, x: GOOD, y: GOOD})
    s = task.submission(id)
    assert (s["outcome"], s["median"], s["level"], s["measured"], s["gain"]) == (-8, GOOD, -96, 24, 0)
    assert task.balances()["committed"] == 0
    return id


def test_a_veto_and_the_same_bytes_again_pay_the_victim(task: Any, nodes: list[Any], vetoed: int) -> None:
    """Declared: all 24 grains were carried over. The thief is charged for its veto and paid nothing."""
    ann, thief, x, y, z = nodes
    before = task.wealth(thief)
    copy = play(task, thief, {ann: GOOD, x: GOOD, y: GOOD}, [(vetoed, 10_000)], name=vetoed)
    assert task.best() == (copy, 24)
    owed = task.pool.owed(copy)
    assert drawn(task, nodes) == {ann: kept(owed), thief: 0, x: 0, y: 0, z: 0}
    assert task.wealth(thief) <= before - 3 * UNIT
    task.solvent(nodes)


def test_a_veto_and_the_same_bytes_undeclared_are_voted_down(task: Any, nodes: list[Any], vetoed: int) -> None:
    """The chain cannot see it; the reference client does, and votes -1: no reward, and no bond is burned."""
    ann, thief, x, y, _ = nodes
    copy = play(task, thief, {ann: -1, x: -1, y: -1}, name=vetoed)
    assert task.submission(copy)["weightsDigest"] == task.submission(vetoed)["weightsDigest"]
    assert (task.submission(copy)["gain"], task.best()) == (0, (0, 0))
    assert task.wealth(thief) < 10 * UNIT - 3 * UNIT + 2
    assert sum(drawn(task, nodes).values()) == 0


def test_a_veto_and_a_light_training_on_it_pay_the_thief_its_own_grains(
    task: Any, nodes: list[Any], vetoed: int
) -> None:
    """24 of 28 grains are the victim's, four the thief's."""
    ann, thief, x, y, _ = nodes
    child = play(task, thief, dict.fromkeys((ann, x, y), index_of(28)), [(vetoed, 10_000)])
    owed = task.pool.owed(child)
    paid = drawn(task, nodes)
    assert paid[thief] == kept(owed * 4 // 28)
    assert paid[ann] == kept(owed - owed * 4 // 28)
    task.solvent(nodes)


def test_a_permuted_copy_that_hides_its_parent_is_voted_down(task: Any, nodes: list[Any], vetoed: int) -> None:
    """Other bytes, so nothing on the chain tells; voters that compare predictions vote -1, not LOWEST."""
    ann, thief, x, y, z = nodes
    copy = play(task, thief, {ann: -1, x: -1, y: GOOD, z: -1})
    s = task.submission(copy)
    assert s["weightsDigest"] != task.submission(vetoed)["weightsDigest"]
    assert (s["outcome"], s["median"], s["gain"]) == (-1, -1, 0)
    assert task.account(thief)["locked"] == 0
    assert sum(drawn(task, nodes).values()) == 0


def test_pressing_a_step_and_copying_it_with_the_old_reference_pay_the_victim(task: Any, nodes: list[Any]) -> None:
    """Not to the bottom but to +3, so that the victim is best by three grains; the copy against genesis shows 24."""
    ann, thief, x, y, z = nodes
    top_up(task, thief, 3 * UNIT)
    first, copy = together(
        task,
        (ann, [(0, 10_000)], {thief: 3, x: GOOD, y: GOOD}),
        (thief, [(1, 10_000)], dict.fromkeys((x, y, z), GOOD)),
    )
    s = task.submission(copy)
    assert (task.submission(first)["gain"], task.submission(first)["measured"]) == (3, 24)
    assert (s["referenceId"], s["gain"], s["previousId"]) == (0, 24 - 3 - 4, first)  # less the width of its bucket
    owed = task.pool.owed(first) + task.pool.owed(copy)
    paid = drawn(task, nodes)
    assert paid[thief] == 0
    assert kept(owed) - 1 <= paid[ann] <= kept(owed) + 1
    task.solvent(nodes)


@pytest.mark.parametrize("weight", [1, 9_999])
def test_a_parent_of_one_basis_point_is_a_parent(task: Any, nodes: list[Any], vetoed: int, weight: int) -> None:
    """Declared weights move no money: they say how the trainer averaged."""
    ann, thief, x, y, _ = nodes
    parents = [(vetoed, weight), (0, 10_000 - weight)]
    copy = play(task, thief, dict.fromkeys((ann, x, y), GOOD), parents)
    owed = task.pool.owed(copy)
    assert drawn(task, nodes) == {**dict.fromkeys(nodes, 0), ann: kept(owed)}


def test_a_sock_beside_the_victim_takes_only_what_it_reached(task: Any, nodes: list[Any], vetoed: int) -> None:
    """The thief's own model of +1 as a second parent: one grain of 24 is shared by two, the rest is the victim's."""
    ann, thief, x, y, z = nodes
    sock = play(task, z, dict.fromkeys((x, y, thief), 1))
    copy = play(task, thief, dict.fromkeys((ann, x, y), GOOD), [(vetoed, 5_000), (sock, 5_000)])
    owed = task.pool.owed(copy)
    paid = drawn(task, nodes)
    half = owed * 6 // (24 * 12)
    assert (paid[thief], paid[x], paid[y]) == (0, 0, 0)
    assert abs(paid[z] - kept(half)) <= 1
    assert abs(paid[ann] - kept(owed - half)) <= 1
    task.solvent(nodes)


def test_a_sock_between_takes_nothing(task: Any, nodes: list[Any], vetoed: int) -> None:
    """victim -> sock (a copy of no gain) -> thief: shares go hop by hop to who added the grains."""
    ann, thief, x, y, z = nodes
    sock = play(task, z, {thief: -8, x: GOOD, y: GOOD}, [(vetoed, 10_000)])
    assert task.submission(sock)["measured"] == 24
    copy = play(task, thief, dict.fromkeys((ann, x, y), GOOD), [(sock, 10_000)])
    owed = task.pool.owed(copy)
    assert drawn(task, nodes) == {**dict.fromkeys(nodes, 0), ann: kept(owed)}
    task.solvent(nodes)


def test_sock_puppet_parents_earn_nothing(task: Any, nodes: list[Any]) -> None:
    author, puppet, *voters = nodes
    first = play(task, author, dict.fromkeys(voters, 4))
    sock = play(task, puppet, dict.fromkeys(voters, 0))  # an untrained copy that hides its parent: no gain
    child = play(task, author, dict.fromkeys(voters, 4), [(sock, 10_000)])
    owed = task.pool.owed(first) + task.pool.owed(child)
    paid = drawn(task, nodes)
    assert paid[puppet] == 0
    assert kept(owed) <= paid[author] <= owed
    task.solvent(nodes)


def test_shares_are_not_drawn_twice_through_siblings(task: Any, nodes: list[Any]) -> None:
    """A pressed model has two children, declared by each, and both become best: its grains are paid once in all."""
    ann, b, c, x, y = nodes
    for node in (ann, b):
        top_up(task, node, 3 * UNIT)
    pressed, one, two = together(
        task,
        (ann, [(0, 10_000)], {b: 3, x: GOOD, y: GOOD}),
        (b, [(1, 10_000)], {ann: 3, x: 15, y: 15}),
        (c, [(1, 10_000)], dict.fromkeys((ann, x, y), 15)),
    )
    s = [task.submission(i) for i in (pressed, one, two)]
    assert [m["measured"] for m in s] == [24, grains(15), grains(15)]
    assert [m["gain"] for m in s] == [3, 0, grains(15) - 3 - 4]
    owed = {i: task.pool.owed(i) for i in (pressed, one, two)}
    paid = drawn(task, nodes)
    # M rose by 4 above the 24 of the pressed one, which is the second sibling's; what was held down is the victim's
    backed = 4
    held = owed[two] * (s[2]["gain"] - backed) // s[2]["gain"]
    assert paid[b] == 0
    assert paid[c] == kept(owed[two] - held)
    assert paid[ann] == pytest.approx(kept(owed[pressed]) + kept(held), abs=2)
    for hop in ((pressed, pressed), (pressed, two), (pressed, one), (two, two)):
        assert "PourSkipped" in task.send(task.pool.pourMany, [hop], sender=b).events
    task.solvent(nodes)


def test_half_of_the_weight_is_no_veto_on_the_measured_level(task: Any, nodes: list[Any]) -> None:
    """Two of four equal voters hold L down, but M is the upper median: the victim is paid when one builds on it."""
    ann, thief, helper, x, y = nodes
    pressed = play(task, ann, {thief: -8, helper: -8, x: GOOD, y: GOOD})
    assert (task.submission(pressed)["level"], task.submission(pressed)["measured"]) == (-96, 24)
    copy = play(task, thief, {ann: GOOD, helper: GOOD, x: GOOD, y: GOOD}, [(pressed, 10_000)])
    owed = task.pool.owed(copy)
    assert drawn(task, nodes) == {**dict.fromkeys(nodes, 0), ann: kept(owed)}


@pytest.mark.parametrize("read", [index_of(24), index_of(28)])
def test_copies_of_an_open_winner_earn_no_quantisation_noise(task: Any, nodes: list[Any], read: int) -> None:
    """While the winner is open its copies are measured against the same reference; one that rounding reads a bucket
    higher gains nothing, as its gain is less by the width of that bucket."""
    ann, thief, *voters = nodes
    first, copy = together(
        task, (ann, [(0, 10_000)], dict.fromkeys(voters, GOOD)), (thief, [(0, 10_000)], dict.fromkeys(voters, read))
    )
    assert (task.submission(first)["gain"], task.submission(copy)["gain"]) == (24, 0)
    assert task.best()[0] == first
    assert task.pool.owed(copy) == 0


def test_plus_one_on_anothers_plus_one_shares_the_reward(task: Any, nodes: list[Any]) -> None:
    """+1 is below the least step and earns nothing alone; who builds on it to +2 shares with it by halves."""
    ann, bob, *voters = nodes
    first = play(task, ann, dict.fromkeys(voters, 1))
    assert (task.best(), task.submission(first)["measured"]) == ((0, 0), 1)
    second = play(task, bob, dict.fromkeys(voters, 2), [(first, 10_000)])
    owed = task.pool.owed(second)
    paid = drawn(task, nodes)
    assert paid[bob] == kept(owed // 2)
    assert paid[ann] == kept(owed - owed // 2)
    task.solvent(nodes)


def test_a_copy_that_became_best_takes_nothing_of_later_rewards(task: Any, nodes: list[Any], vetoed: int) -> None:
    """It stands in every later line of references, by grains that it did not add: all passes through it."""
    ann, thief, x, y, z = nodes
    copy = play(task, thief, dict.fromkeys((ann, x, y), GOOD), [(vetoed, 10_000)])
    task.pour_all()
    later = play(task, x, dict.fromkeys((ann, y, z), 8), [(copy, 10_000)])
    owed = task.pool.owed(later)
    commons = task.balances()["commons"]
    paid = drawn(task, nodes)
    assert (paid[thief], paid[x]) == (0, kept(owed))
    assert task.balances()["commons"] == commons + owed - kept(owed)


def test_checkpoints_earn_what_one_step_earns(task: Any, nodes: list[Any], chain: Any) -> None:
    """Salami: gains 3 + 3 draw of one allowance what one gain of 6 draws, to the rounding of a unit."""
    author, *voters = nodes
    start = task.open(author)
    task.score(start, dict.fromkeys(voters, 3), settle=False)
    first = reward(2 * UNIT, 200, 3)  # one day's drip: 5 % of the stake of 40
    rest = 2 * UNIT - first
    assert task.balances()["allowance"] == rest
    assert abs(first + reward(rest, 200, 3) - reward(2 * UNIT, 200, 6)) <= 2
    second = task.open(author, [(start, 10_000)])
    at = chain.now
    task.score(second, dict.fromkeys(voters, 3), settle=False)
    drip = 2 * UNIT * (chain.now - at + 100) // 86_400
    dust = 2 * (3 * UNIT % 40)
    owed = task.pool.owed(start) + task.pool.owed(second)
    assert abs(owed - reward(2 * UNIT, 200, 6)) <= drip + dust


def test_an_author_that_splits_a_step_over_socks_gets_the_same(task: Any, nodes: list[Any]) -> None:
    """+2 by a sock, then 24 on it: together what 24 at once is paid."""
    ann, sock, *voters = nodes
    first = play(task, sock, dict.fromkeys(voters, 1))
    second = play(task, ann, dict.fromkeys(voters, GOOD), [(first, 10_000)])
    owed = task.pool.owed(second)
    paid = drawn(task, nodes)
    assert paid[ann] == kept(owed * 23 // 24)
    assert abs(paid[ann] + paid[sock] - kept(owed)) <= 1


def test_noise_does_not_ratchet_the_level(task: Any, nodes: list[Any]) -> None:
    """No-op retrains that luck lifts by one grain never become best: minStep is 2."""
    for number in range(4):
        author = nodes[number]
        play(task, author, {n: 1 for n in nodes if n != author})
    assert task.best() == (0, 0)
    assert task.balances()["committed"] == 0


def test_plagiarism_by_one_flipped_bit_earns_nothing(task: Any, nodes: list[Any]) -> None:
    """Before publication only a hash is public; after it the copy is measured against the same model or its better."""
    from support.task import digest

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
    s = task.submission(copy)
    assert (s["level"], s["gain"], task.pool.owed(copy)) == (5, 0, 0)


@pytest.mark.parametrize("author_votes_it_down", [False, True])
def test_a_model_that_adds_nothing_takes_nothing_however_its_author_voted(
    task: Any, nodes: list[Any], author_votes_it_down: bool
) -> None:
    """contribution, on a line of three: the copy of a copy."""
    ann, thief, x, y, z = nodes
    mine = {thief: -8 if author_votes_it_down else GOOD, x: GOOD, y: GOOD}
    first = play(task, ann, mine)
    second = play(task, z, {thief: 0, x: 0, y: 0} if not author_votes_it_down else mine, [(first, 10_000)])
    third = play(task, thief, dict.fromkeys((ann, x, y), 0 if not author_votes_it_down else GOOD), [(second, 10_000)])
    owed = sum(task.pool.owed(i) for i in (first, second, third))
    paid = drawn(task, nodes)
    assert paid == {**dict.fromkeys(nodes, 0), ann: kept(owed)}


def test_an_independent_concurrent_author_is_the_published_limit(chain: Any) -> None:
    """LIMIT: a pressed model is no ancestor of what somebody else made at the same time; that one is paid."""
    task = Task()
    ann, bob, x, y, z = [task.join(a) for a in chain.accounts[10:15]]
    task.fund()
    top_up(task, bob, 3 * UNIT)
    together(
        task,
        (ann, [(0, 10_000)], {bob: 3, x: GOOD, y: GOOD}),
        (bob, [(0, 10_000)], dict.fromkeys((x, y, z), GOOD)),
    )
    paid = drawn(task, [ann, bob, x, y, z])
    assert paid[bob] > paid[ann] > 0
