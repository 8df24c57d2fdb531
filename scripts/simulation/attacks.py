"""The attacks on a reward, one function each: (what it is, the attacker's part of what was earned, what it should be).

True quality is in grains above genesis. A veto presses the outcome of a model to any bucket and leaves its median
(less than half of the weight), so M is the truth; whoever uses a model declares it, or the reference client's check of
hidden parents presses it to −1.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from scripts.simulation.economy import MIN_STEP, UNIT, Economy, bucket, quantile, upper_median

ATTACKERS = ("thief", "sock")


@dataclass(frozen=True)
class Result:
    """An attack: the attacker's part, and the most that its own grains are worth."""

    name: str
    part: float
    fair: float
    note: str = ""

    @property
    def pays(self) -> bool:
        return self.part > self.fair + 1e-9


def veto_and_resubmit(without: str = "") -> Result:
    task = Economy(without=without)
    victim = task.submit("ann", [0], -96, 24)
    task.submit("thief", [victim], 24, 24, 0)
    return Result("veto, then the same bytes, declared", task.share_of(*ATTACKERS), 0)


def veto_and_train_on() -> Result:
    task = Economy()
    victim = task.submit("ann", [0], -96, 24)
    task.submit("thief", [victim], 28, 27, 0)
    return Result("veto, then lightly trained on (+3 of 27)", task.share_of(*ATTACKERS), 3 / 27)


def veto_and_hide() -> Result:
    task = Economy()
    task.submit("ann", [0], -96, 24)
    task.submit("thief", [0], -1, -1, 0)  # nearer than the calibrated factors and not declared: index −1
    return Result("veto, then permuted and hidden", task.share_of(*ATTACKERS), 0)


def press_to_three() -> Result:
    task = Economy()
    victim = task.submit("ann", [0], 3, 24)
    task.submit("thief", [victim], 24, 24, 0)
    return Result("press to +3, then copy with the old reference", task.share_of(*ATTACKERS), 0)


def press_and_live_on_the_stream(without: str = "") -> Result:
    """The copy becomes best and the reference of all that follows: what flows along references must pass it by."""
    task = Economy(without=without)
    victim = task.submit("ann", [0], 3, 24)
    task.submit("thief", [victim], 32, 24, 0)
    for _ in range(12):
        task.submit("bob", [task.best], 6, 6)
    return Result("press to +3, copy, and live on what flows along references", task.share_of(*ATTACKERS), 0)


def weights_of_one_basis_point() -> Result:
    """Declared weights move no money: the least parent carries as much as the greatest."""
    task = Economy()
    victim = task.submit("ann", [0], -96, 24)
    sock = task.submit("sock", [0], 0, 0, 0)
    task.submit("thief", [victim, sock, 0], 24, 24, 0)
    return Result("the victim declared for 1 bp beside an idle sock", task.share_of(*ATTACKERS), 0)


def sock_beside() -> Result:
    task = Economy()
    victim = task.submit("ann", [0], -96, 24)
    sock = task.submit("sock", [0], 1, 1, 0)
    task.submit("thief", [victim, sock], 24, 24, 0)
    return Result("a sock of one true grain beside the victim", task.share_of(*ATTACKERS), 0.5 / 24)


def sock_between() -> Result:
    task = Economy()
    victim = task.submit("ann", [0], -96, 24)
    sock = task.submit("sock", [victim], -96, 24, 0)
    task.submit("thief", [sock], 24, 24, 0)
    return Result("a sock between the victim and the copy", task.share_of(*ATTACKERS), 0)


def drawn_twice() -> Result:
    """Two siblings build on a pressed model: what ann's 24 grains earn is paid once."""
    task = Economy()
    victim = task.submit("ann", [0], 3, 24)
    task.submit("thief", [victim], 28, 24, 0)
    task.submit("sock", [victim], 32, 24, 0)
    return Result("two copies of a pressed model", task.share_of(*ATTACKERS), 0)


def half_of_the_weight() -> Result:
    """Two of four equal voters press outcome and median: the upper median is the honest voters'."""
    task, votes = Economy(), [-96, -96, 24, 24]
    victim = task.submit("ann", [0], quantile(votes, 0.34), upper_median(votes))
    task.submit("thief", [victim], 24, 24, 0)
    return Result("half of the weight as a veto, then the same bytes", task.share_of(*ATTACKERS), 0)


def more_than_half() -> Result:
    task, votes = Economy(), [-96, -96, -96, 24, 24]
    victim = task.submit("ann", [0], quantile(votes, 0.34), upper_median(votes))
    task.submit("thief", [victim], 24, 24, 0)
    return Result("LIMIT: more than half of the weight", task.share_of(*ATTACKERS), 1, "published limit")


def one_on_one() -> Result:
    task = Economy()
    small = task.submit("ann", [0], 2, 2)
    task.submit("thief", [small], 4, 4, 0)
    return Result("+2 on somebody's unpaid +2", task.share_of(*ATTACKERS), 0.5)


def concurrent() -> Result:
    task = Economy()
    task.submit("ann", [0], 3, 24)
    task.submit("thief", [0], 24, 24, 0)
    return Result(
        "LIMIT: pressed, and an independent concurrent model", task.share_of(*ATTACKERS), 1, "published limit"
    )


def closing_on_own_best() -> Result:
    """The sponsor closes as soon as its own model is best: of the commons it gets its grains' part, not all."""
    task = Economy(allowance=0, commons=0)
    for author in ("ann", "bob", "cy"):
        task.submit(author, [task.best], 8, 8)
    task.submit("thief", [task.best], 3, 3)
    task.commons = 100 * UNIT
    task.end()
    return Result("sponsor closing on its own best for the commons", task.share_of(*ATTACKERS), 3 / 27)


def quantisation_noise(without: str = "", copies: int = 12, seed: int = 7, tasks: int = 400) -> Result:
    """Copies of an open winner against the old reference: the best of their rounding and noise must earn nothing.

    Five voters, each off by one grain (standard deviation); the winner truly improves by 20 to 100 grains.
    """
    rng, taken, paid = random.Random(seed), 0, 0
    for _ in range(tasks):
        truth, task = rng.uniform(20, 100), Economy(without=without)

        def measured(truth: float = truth) -> tuple[int, int]:
            votes = [bucket(truth + rng.gauss(0, 1)) for _ in range(5)]
            return quantile(votes, 0.34), upper_median(votes)

        winner = task.submit("ann", [0], *measured())
        for _ in range(copies):
            task.submit("thief", [winner], *measured(), 0)
        taken += task.earned["thief"]
        paid += sum(task.earned.values())
    return Result(f"{copies} copies of an open winner for quantisation noise", taken / paid, 0.01, "1 % allowed: noise")


ATTACKS: tuple[Callable[[], Result], ...] = (
    *(veto_and_resubmit, veto_and_train_on, veto_and_hide, press_to_three, press_and_live_on_the_stream),
    *(weights_of_one_basis_point, sock_beside, sock_between, drawn_twice, half_of_the_weight, one_on_one),
    *(closing_on_own_best, quantisation_noise, more_than_half, concurrent),
)


def search(tasks: int, seed: int = 1, without: str = "") -> list[Result]:
    """Random play of a thief with a veto but no work of its own: the most it takes, over ``tasks`` random tasks.

    It publishes up to four models built only of what others showed (its own socks included), in any order, with any
    declared parents, references and pressed outcomes, and presses the victims as it likes. An honest builder goes on
    from the best model at the end. The worst three results, greatest part first.
    """
    found = [_random_play(random.Random(seed * 1_000_003 + number), without) for number in range(tasks)]
    return sorted(found, key=lambda result: -result.part)[:3]


def _random_play(rng: random.Random, without: str) -> Result:
    task, truth, log = Economy(without=without), {0: 0}, []
    for author in rng.sample(["ann", "bob", "thief", "thief", "sock", "sock"], rng.randint(2, 6)):
        parents = sorted(rng.sample(range(len(task.models)), rng.randint(1, min(3, len(task.models)))))
        most = max(truth[p] for p in parents)
        own = rng.choice([1, 3, 8, 24]) if author in ("ann", "bob") else -rng.choice([0, 0, 0, 2, 5])
        number, reference = len(task.models), rng.choice([task.best, 0])
        truth[number] = most + own
        median = truth[number] - truth[reference]
        outcome = median - rng.choice([0, 0, 1, 3, 9, 60, max(0, median - MIN_STEP)])
        task.submit(author, parents, outcome, median, reference)
        log.append(f"{author}#{number}({'+'.join(map(str, parents))}) {outcome:+d}/{median:+d} on {reference}")
    for _ in range(rng.randint(0, 2)):
        step = rng.choice([3, 6])
        task.submit("cy", [task.best], step, step)
    return Result("random play without work", task.share_of(*ATTACKERS), 0, "; ".join(log))
