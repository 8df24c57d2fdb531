"""Attack the rules of money and write what came out: docs/audit/contribution.md.

python -m scripts.simulation [--plays N]     # a non-zero exit status if an attack pays
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.simulation import attacks, traffic

PAGE = Path(__file__).resolve().parents[2] / "docs" / "audit" / "contribution.md"


def page(results: list[attacks.Result], worst: list[attacks.Result], plays: int) -> str:
    """The page in Markdown."""
    rows = [f"| {r.name} | {100 * r.part:.1f} % | {100 * r.fair:.1f} % | {r.note} |" for r in results]
    loose = [f"| {rule} | {r.name} | {100 * r.part:.1f} % | {100 * r.fair:.1f} % |" for rule, r in left_out(plays)]
    fees = [(traffic.AFTER, traffic.honest(a_day)) for a_day in (6, 24, 96)]
    fees.append((traffic.BUSY, traffic.honest(96, traffic.BUSY)))
    honest = [
        f"| {h.a_day} | {terms.slots} | {100 * terms.vote_bond:g} % | {h.mean_open:.1f} | {h.most_open} | "
        f"{h.mean_fee:,.2f} | {100 * h.votable:.0f} % |"
        for terms, h in fees
    ]
    floods = []
    for terms, numbers in ((traffic.BEFORE, (10, 48)), (traffic.AFTER, (16, 32, 50, 80, 160))):
        for flood in (traffic.flood(number, terms) for number in numbers):
            full = "yes" if flood.ids >= terms.capacity else "no"
            floods.append(
                f"| {terms.name} | {flood.ids} | {flood.start:,} | {flood.a_day:,.0f} | {flood.fee:,} | {full} |"
            )
    sleeps = []
    for asleep in (0.5, 0.66, 0.68, 0.7, 0.75, 0.8, 0.83, 0.85):
        slept = traffic.sleeping(asleep)
        voided = "all" if slept.voided is None else str(slept.voided)
        votes = "none" if slept.least_votes is None else f"{100 * slept.least_votes:.0f} %"
        sleeps.append(f"| {100 * asleep:.0f} % | {voided} | {votes} |")
    return f"""# Attacks on the rules of money, in simulation

Written by `make simulate` (`scripts/simulation`), in the same whole numbers as the contracts: the functions are those
by which `pdfed audit` holds every reward and share on a chain to the unit.

## Who takes how much of a reward

A veto (κ of the weight) presses outcomes, not medians. The last column is what the attacker's own grains are worth.

| attack | attacker's part | its own work |  |
|---|---|---|---|
{chr(10).join(rows)}

{plays:,} random plays of a thief with a veto and socks but no work of its own, in any order, with any declared parents,
references and pressed outcomes: the greatest part it took is {100 * worst[0].part:.3f} %.

The same where one rule is left out:

| left out | attack | attacker's part | its own work |
|---|---|---|---|
{chr(10).join(loose)}

## What honest traffic pays

Random arrivals, {traffic.HOURS} h from reserve to the end of the reveal window. *Votable* is the part of the ids that
finds fewer open votes than the stake of a voter carries. A task that expects 96 ids a day must be created for it.

| ids a day | slots | vote bond | open on average | at most | fee, times the base fee | votable |
|---|---|---|---|---|---|---|
{chr(10).join(honest)}

## What a flood of junk costs

Tokens, with a fee of {traffic.FEE} and a submission bond of {traffic.BOND}. The junk keeps that many ids open; *full*
says whether they lock all the stake of an honest voter. In the first version ten ids do; their bonds came back.

| terms | ids kept open | to start | a day | fee others pay | full |
|---|---|---|---|---|---|
{chr(10).join(floods)}

Front-running a reservation to raise its fee costs the front-runner {traffic.SLOTS} reservations a doubling, bonds
included; `maxFee` bounds what the victim pays, which then waits.

## What sleeping stake can stall

Ids that go Void until the quorum has learnt, and the part of the ids on which the sleeper must vote to stall the others
for ever. A Void id returns bond and base fee, and nobody gains.

| asleep | ids stalled at first | votes needed to stall the others |
|---|---|---|
{chr(10).join(sleeps)}
"""


def left_out(plays: int) -> list[tuple[str, attacks.Result]]:
    """What attacks take where a rule is left out; the random plays must notice both of theirs."""
    return [
        ("contribution", attacks.veto_and_resubmit("contribution")),
        ("contribution", attacks.search(plays // 10, without="contribution")[0]),
        ("own grains", attacks.press_and_live_on_the_stream("own grains")),
        ("own grains", attacks.search(plays // 10, without="own grains")[0]),
        ("reduction", attacks.quantisation_noise("reduction")),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plays", type=int, default=50_000)
    chosen = parser.parse_args()
    results = [attack() for attack in attacks.ATTACKS]
    worst = attacks.search(chosen.plays)
    text = page(results, worst, chosen.plays)
    PAGE.write_text(text, encoding="utf-8")
    print(text)
    paying = [result for result in [*results, *worst] if result.pays]
    for result in paying:
        print(f"PAYS: {result.name}: {result.part:.4f} of {result.fair:.4f}; {result.note}", file=sys.stderr)
    return 1 if paying else 0


if __name__ == "__main__":
    sys.exit(main())
