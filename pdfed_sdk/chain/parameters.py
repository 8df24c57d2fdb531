"""Parameters of a task: defaults of two profiles, bounds, and errors that name them. The bounds are TaskFactory's.

One table serves checks, documentation and the plans that scripts print.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal

from pdfed_sdk.buckets import HIGHEST
from pdfed_sdk.chain.calls import ZERO_ADDRESS, TaskParams
from pdfed_sdk.chain.money import UNITS, Token
from pdfed_sdk.chain.reads import address
from pdfed_sdk.errors import UsageError
from pdfed_sdk.types import BPS, Address

Profile = Literal["development", "public"]
HOUR, DAY = 3_600, 86_400
MOST_AMOUNT = 2**80 - 1
MOST_SLOTS = 3_333
"""A third of the basis points, as three times the slots must fit; also the most of a vote's bond."""
MOST_GAIN = 128
"""Grains of one step that are paid at most."""


def confirmations_of(params: TaskParams) -> int:
    """Confirmations that clients of a task wait for by default: 12, and 1 for the short windows of a development chain,
    which does not reorganise by itself."""
    return 12 if params.commit_window >= HOUR else 1


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number of a task: defaults on development and public chains, bounds, meaning. Amounts are in tokens."""

    name: str
    development: int
    public: int
    least: int
    most: int | Callable[[TaskParams], int]
    meaning: str
    amount: bool = False

    def bounds(self, params: TaskParams) -> tuple[int, int]:
        """Least and most, given the other parameters. ``unbonding`` must outlast a submission."""
        most = self.most if isinstance(self.most, int) else self.most(params)
        return (_life(params), most) if self.name == "unbonding" else (self.least, most)


def _life(params: TaskParams) -> int:
    return params.commit_window + params.reveal_gap + params.reveal_window


PARAMETERS: tuple[Parameter, ...] = (
    Parameter("min_stake", 100, 100, 1, MOST_AMOUNT, "one unit of weight", amount=True),
    Parameter("submission_bond", 20, 20, 1, MOST_AMOUNT, "locked from reserve to finalise", amount=True),
    Parameter("scoring_fee", 10, 10, 1, MOST_AMOUNT, "paid by the author for its voters' pay", amount=True),
    Parameter("vote_bond_bps", 200, 200, 1, MOST_SLOTS, "vote bond, share of weight · min_stake"),
    Parameter("slots", 16, 16, 1, MOST_SLOTS, "open ids that double the scoring fee; the stake backs 3 · slots votes"),
    Parameter("submit_window", 7, HOUR, 1, lambda p: p.commit_window // 4, "reserve to submit, s"),
    Parameter("commit_window", 30, 6 * HOUR, 4, 30 * DAY, "reserve to last commit, s"),
    Parameter("reveal_gap", 1, 900, 1, DAY, "dead time between commit and reveal, s"),
    Parameter("reveal_window", 10, DAY, 1, 30 * DAY, "time to reveal, s"),
    Parameter("warm_up", 1, DAY, 1, 30 * DAY, "age at which stake counts, s"),
    Parameter("unbonding", 60, 7 * DAY, 1, 365 * DAY, "request to withdraw, at least a submission's life, s"),
    Parameter("grace", 10, 7 * DAY, 1, 365 * DAY, "last finalise to the sponsor's reclaim, s"),
    Parameter("kappa_bps", 3_400, 3_400, 1_000, 5_000, "outcome is this quantile of the improvements (κ)"),
    Parameter("quorum_floor", 3, 3, 1, 2**32 - 1, "least revealed weight"),
    Parameter("min_voters", 3, 5, 3, 255, "least number of reveals"),
    Parameter("min_step", 3, 3, 2, MOST_GAIN, "least gain that makes a model best, grains"),
    Parameter("start_tau", 0, 0, -2, HIGHEST, "first threshold of voters' pay, index of a bucket"),
    Parameter("step_rate_bps", 50, 50, 1, 2_000, "share of the allowance one grain of gain earns (r)"),
    Parameter("lineage_bps", 3_000, 3_000, 0, 5_000, "share of what an author earns that flows along references (ρ)"),
    Parameter("decay_bps", 9_740, 9_740, 1, 9_999, "what one grain of a model's own leaves of a pour (λ)"),
    Parameter("drip_bps", 100, 100, 1, 200, "share of the sponsor's funds released a day"),
    Parameter(
        "stake_drip_bps", 500, 500, 1, 500, "at most this share of the stake that can vote is released a day (σ)"
    ),
)
NAMES = tuple(field.name for field in fields(TaskParams))


def check_name(name: str, known: Sequence[str]) -> None:
    """UsageError with a suggestion if ``name`` is none of the parameters that are ``known`` here."""
    if name not in known:
        close = get_close_matches(name, known, n=1)
        raise UsageError(
            f"there is no task parameter {name!r}", hint=f"did you mean {close[0]}?" if close else "see PARAMETERS"
        )


def task_params(
    token: str,
    sponsor: str,
    *,
    profile: Profile = "development",
    unit: int = 10**18,
    objective: str = "qn-normalised",
    **overrides: Any,
) -> TaskParams:
    """Parameters of a new task: the profile's defaults with overrides, checked. ``unit`` is one token in its units.

    UsageError names an unknown parameter, or a value and its bounds.
    """
    if profile not in ("development", "public"):
        raise UsageError(f"profile {profile!r} is neither development nor public")
    for name in overrides:
        check_name(name, NAMES)
    values: dict[str, Any] = {
        row.name: (row.development if profile == "development" else row.public) * (unit if row.amount else 1)
        for row in PARAMETERS
    }
    values |= {"guardian": ZERO_ADDRESS, "eligibility": ZERO_ADDRESS, "card_digest": bytes(32)}
    values |= {"token": address(token, "token"), "sponsor": address(sponsor, "sponsor"), "objective": name32(objective)}
    params = TaskParams(**(values | overrides))
    check_params(params)
    return params


def check_params(params: TaskParams) -> None:
    """UsageError for the first parameter out of bounds, in the factory's own words."""
    for name in ("token", "sponsor", "guardian", "eligibility"):
        address(getattr(params, name), name)
    for name in ("token", "sponsor"):
        if getattr(params, name) == ZERO_ADDRESS:
            raise UsageError(f"{name} is the zero address", hint=f"name the task's {name}")
    for name in ("objective", "card_digest"):
        value = getattr(params, name)
        if not isinstance(value, bytes) or len(value) != 32:
            raise UsageError(f"{name} is not 32 bytes")
    if not any(params.objective):
        raise UsageError("the task has no objective", hint="name it, e.g. qn-normalised")
    for row in PARAMETERS:
        value = getattr(params, row.name)
        least, most = row.bounds(params)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise UsageError(f"{row.name} is {value!r}, allowed are {least:,} to {most:,}", hint=row.meaning)
    bonds = 3 * params.slots * -(-params.min_stake * params.vote_bond_bps // BPS)
    if bonds > params.min_stake:
        raise UsageError(
            f"vote_bond_bps {params.vote_bond_bps} on 3 · {params.slots} slots locks {bonds:,}, more than the stake "
            f"behind it ({params.min_stake:,}): junk could stop honest voting",
            hint=f"fewer slots, or vote_bond_bps of at most {BPS // (3 * params.slots)}",
        )


def params_table(params: TaskParams, token: Token = UNITS) -> list[tuple[str, str, str, str]]:
    """(name, value, bounds, meaning) of every parameter, for people: amounts in whole tokens if the token is known."""
    places: list[Address] = [params.token, params.sponsor, params.guardian, params.eligibility]
    named = zip(("token", "sponsor", "guardian", "eligibility"), places, strict=True)
    rows = [(name, "none" if place == ZERO_ADDRESS else str(place), "", "") for name, place in named]
    for row in PARAMETERS:
        least, most = row.bounds(params)
        shown = "2^80 - 1" if most == MOST_AMOUNT else f"{most:,}"
        value = getattr(params, row.name)
        told = token.show(value) if row.amount and token != UNITS else f"{value:,}"
        bounds = f"{least:,} to {shown}{' units' if row.amount else ''}"
        rows.append((row.name, told, bounds, row.meaning))
    rows.append(("objective", text32(params.objective), "", "the number the task minimises"))
    rows.append(("card_digest", "0x" + params.card_digest.hex(), "", "sha-256 of the task card"))
    return rows


def name32(text: str) -> bytes:
    """A short name as bytes32, zero-padded; UsageError above 32 bytes."""
    raw = text.encode()
    if not raw or len(raw) > 32:
        raise UsageError(f"the name {text!r} has {len(raw)} bytes, allowed are 1 to 32")
    return raw.ljust(32, b"\0")


def text32(value: bytes) -> str:
    """A bytes32 name as text."""
    return value.rstrip(b"\0").decode(errors="replace")
